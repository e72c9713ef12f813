"""From an `operator.json` with a command, and the `run.py` that it may have, to a kernel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from interactem.runtime.commands.hooks import Hooks
from interactem.runtime.commands.once import OnceOperator
from interactem.runtime.commands.persistent import PersistentOperator
from interactem.runtime.commands.process import LAST_OUTPUT_SECONDS
from interactem.runtime.commands.starting import program_problem
from interactem.runtime.errors import LoadError
from interactem.runtime.kernels import KERNEL, Kernel
from interactem.runtime.operators import operator
from interactem.spec import OperatorSpec, SpecError, parse_operator


def command_kernel(file: Path, namespace: Mapping[str, Any], program: Path, *, look: bool) -> Kernel:
    """The kernel of the operator whose spec is `file`; `namespace` is what is in its `run.py`, the file `program`.

    With `look`, a program that is not there is an error now. Raises `LoadError`.
    """
    try:
        spec = parse_operator(file.read_bytes(), str(file))
    except SpecError as error:
        raise LoadError(
            str(file), "; ".join(str(problem).removeprefix(f"{file}: ") for problem in error.problems)
        ) from None
    if spec.command is None:
        raise LoadError(str(file), "it has no command")
    hooks = Hooks.of(namespace, spec.command, program if namespace else file)
    if look and hooks.command is None:
        _look_for_program(spec, file)
    if spec.command.persistent and not spec.inputs:
        raise LoadError(str(file), "a source has no messages for a persistent command; leave persistent out")
    kind = PersistentOperator if spec.command.persistent else OnceOperator
    kernel: Kernel = getattr(operator(kind(spec, file.parent, hooks)), KERNEL)
    return replace(kernel, grace=spec.command.grace + LAST_OUTPUT_SECONDS)


def _look_for_program(spec: OperatorSpec, file: Path) -> None:
    command = spec.command
    first = command.arguments[0] if command is not None and command.arguments else None
    if command is None or not isinstance(first, str) or "{" in first or "PATH" in command.environment:
        return  # what it is will be known with a message
    if problem := program_problem(first, os.environ.get("PATH")):
        raise LoadError(str(file), f"$.command.arguments[0]: {problem}")

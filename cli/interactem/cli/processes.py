"""Runs a module of the runtime in an operator's own environment, and reads the JSON document that it prints."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interactem.cli.environments import operator_python
from interactem.cli.failures import FailedError
from interactem.engine.tether import tethered


def run_module(
    folder: Path, module: str, arguments: Sequence[str] = (), *, request: Mapping[str, Any] | None = None
) -> tuple[int, dict[str, Any]]:
    """Exit code and document. What the operator prints goes to standard error; an interruption here ends it.

    Raises `FailedError` where the process ends without a document, such as by a crash of the kernel.
    """
    command = [str(operator_python(folder)), "-m", f"interactem.runtime.{module}", *arguments]
    if sys.platform == "linux":  # elsewhere a tether takes standard input, which the request needs
        command = [*tethered(command)]
    given = b"" if request is None else json.dumps(request).encode()
    code, printed = _communicate(command, given)
    try:
        document = json.loads(printed)
    except ValueError:
        raise FailedError(f"{folder}: the operator's process {_end(code)}") from None
    return code, document


def _communicate(command: Sequence[str], given: bytes) -> tuple[int, bytes]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        try:
            printed, _ = process.communicate(given)
        except BaseException:  # whatever ends us, an interruption too, the operator goes first
            process.kill()
            process.wait()
            raise
        return process.returncode, printed


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code} before it was done"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"

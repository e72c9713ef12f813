"""From the path of a `run.py` to its kernel."""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from interactem.runtime.dependencies import dependencies_in
from interactem.runtime.errors import LoadError
from interactem.runtime.kernels import KERNEL, Kernel
from interactem.runtime.kinds.forms import no_source


def load(path: Path, *, look: bool = False) -> Kernel:
    """Import `path` as a program's main folder would be and return the kernel of the one operator in it.

    Where the `operator.json` beside it has a command, that is the kernel, and `path` need not exist; with `look`, it is
    an error where there is no such program.

    Raises `LoadError` where it does not import (with the traceback of the author's own frames), or holds no operator
    or several.
    """
    path = path.resolve()
    if (file := _with_command(path)) is not None:
        return _command_kernel(file, path, look=look)
    namespace = vars(_import(path))
    found = kernels_in(namespace)
    if not found:
        advice = "put @operator above the function, or the class, that handles a message"
        raise LoadError(str(path), f"there is no operator in it; {advice}")
    if len(found) > 1:
        names = ", ".join(sorted(kernel.function.__name__ for kernel in found.values()))
        raise LoadError(str(path), f"there are several operators in it ({names}); keep one @operator")
    kernel = next(iter(found.values()))
    _check_kind(path, kernel)
    return replace(with_dependencies(kernel, namespace), program=path)


def _check_kind(path: Path, kernel: Kernel) -> None:
    """Raises `LoadError` where `run.py` and `operator.json` do not agree whether it is a side input."""
    spec = _spec_beside(path)
    if spec is not None and not spec.get("inputs") and not kernel.one_by_one and (why := no_source(kernel)):
        raise LoadError(str(path), why)
    if spec is None or kernel.updates == (spec.get("side_input") is not None):
        return
    if kernel.updates:
        advice = 'add "side_input": {"type": …} to its operator.json'
        raise LoadError(str(path), f"{kernel.function.__name__} is under @operator.side_input; {advice}")
    raise LoadError(str(path), f"operator.json says side_input; put @operator.side_input on {kernel.function.__name__}")


def _with_command(path: Path) -> Path | None:
    """The `operator.json` beside a `run.py`, where it has a command, or where there is nothing but it."""
    file, spec = path.with_name("operator.json"), _spec_beside(path)
    if spec is not None and spec.get("command") is not None:
        return file
    return file if file.is_file() and spec is None and not path.exists() else None


def _spec_beside(path: Path) -> dict[str, Any] | None:
    """The `operator.json` beside a `run.py`, as far as it is one; to read all of it is for others."""
    try:
        spec = json.loads(path.with_name("operator.json").read_bytes())
    except (OSError, ValueError):
        return None
    return spec if isinstance(spec, dict) else None


def _command_kernel(file: Path, path: Path, *, look: bool) -> Kernel:
    from interactem.runtime.commands.kernels import command_kernel  # others do not pay for what it imports

    namespace = vars(_import(path)) if path.exists() else {}
    if found := kernels_in(namespace):
        names = ", ".join(sorted(kernel.function.__name__ for kernel in found.values()))
        raise LoadError(str(path), f"there is an operator in it ({names}), and a command in operator.json; keep one")
    return with_dependencies(command_kernel(file, namespace, path, look=look), namespace)


def kernels_in(namespace: Mapping[str, Any]) -> dict[int, Kernel]:
    """The kernels of a module's operators, each once. A class that another one there is made from is none."""
    operators = [value for value in namespace.values() if _is_operator(value)]
    bases = {base for value in operators if isinstance(value, type) for base in value.__mro__[1:]}
    kernels = [getattr(value, KERNEL) for value in operators if not (isinstance(value, type) and value in bases)]
    return {id(kernel): kernel for kernel in kernels}


def _is_operator(value: object) -> bool:
    own = vars(value) if isinstance(value, type) else None  # what is made from an operator is not one by that alone
    return isinstance(getattr(value, KERNEL, None) if own is None else own.get(KERNEL), Kernel)


def with_dependencies(kernel: Kernel, namespace: Mapping[str, Any]) -> Kernel:
    """The same kernel, with the `@dependencies` of its module before its own."""
    return replace(kernel, dependencies=(*dependencies_in(namespace), *kernel.dependencies))


class _Program(SourceFileLoader):
    """Imports a `run.py` and leaves no bytecode beside it: the author's folder stays as it is."""

    def set_data(self, path: str, data: object, *, _mode: int = 0o666) -> None:
        pass


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise LoadError(str(path), "there is no such file, and no operator.json with a command beside it")
    spec = importlib.util.spec_from_file_location("run", path, loader=_Program("run", str(path)))
    if spec is None or spec.loader is None:
        raise LoadError(str(path), "it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["run"] = module
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise LoadError(str(path), f"it does not import\n{user_traceback(error)}") from error
    return module


def user_traceback(error: BaseException) -> str:
    """The error's traceback without the frames of Python's import machinery and of the runtime itself."""
    report = traceback.TracebackException.from_exception(error)
    inside = str(Path(__file__).parent)
    kept = [frame for frame in report.stack if not frame.filename.startswith(("<frozen", inside))]
    report.stack = traceback.StackSummary.from_list(kept)
    report.__cause__ = report.__context__ = None
    return "".join(report.format()).rstrip()

"""From the path of a `run.py` to its kernel."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from interactem.runtime.errors import LoadError
from interactem.runtime.operators import KERNEL, Kernel


def load(path: Path) -> Kernel:
    """Import `path` as a program's main folder would be and return the kernel of the one operator in it.

    Raises `LoadError` where it does not import (with the traceback of the author's own frames), or holds no operator
    or several.
    """
    path = path.resolve()
    module = _import(path)
    found: dict[int, Kernel] = {}
    for value in vars(module).values():
        kernel = getattr(value, KERNEL, None)
        if isinstance(kernel, Kernel):
            found[id(kernel)] = kernel
    if not found:
        advice = "put @operator above the function that handles a message"
        raise LoadError(str(path), f"there is no operator in it; {advice}")
    if len(found) > 1:
        names = ", ".join(sorted(kernel.function.__name__ for kernel in found.values()))
        raise LoadError(str(path), f"there are several operators in it ({names}); keep one @operator")
    return next(iter(found.values()))


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise LoadError(str(path), "there is no such file")
    spec = importlib.util.spec_from_file_location("run", path)
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

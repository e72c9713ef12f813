"""What an operator finds around it while it is called in a process that is not its own: files, and what it imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from interactem.runtime.errors import ParameterError

DATA_DIRECTORY = "INTERACTEM_DATA_DIRECTORY"


def linked(folder: Path, mounts: Mapping[str, Path]) -> Path:
    """Make a data directory with these mounts in it. Raises `ParameterError` where one is not there."""
    folder.mkdir()
    for name, path in mounts.items():
        target = path.expanduser().resolve()
        if not target.exists():
            raise ParameterError(name, f"there is nothing at {target}")
        (folder / name).symlink_to(target)
    return folder


@contextmanager
def data_directory(folder: Path, mounts: Mapping[str, Path]) -> Iterator[None]:
    linked(folder, mounts)
    before = os.environ.get(DATA_DIRECTORY)
    os.environ[DATA_DIRECTORY] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[DATA_DIRECTORY]
        else:
            os.environ[DATA_DIRECTORY] = before


@contextmanager
def own_imports(folder: Path) -> Iterator[None]:
    """What an operator imports from its own folder is its own: the next one may have modules of the same names."""
    path, modules, run = list(sys.path), set(sys.modules), sys.modules.get("run")
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).is_relative_to(folder):
                del sys.modules[name]
        if run is not None:
            sys.modules["run"] = run

"""The folder in which a kernel finds its mounts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_own: ContextVar[Path | None] = ContextVar("data_directory", default=None)


def data_directory() -> Path:
    """The folder in which each mount parameter appears under its name (in a container: `/mnt`)."""
    return _own.get() or Path(os.environ.get("INTERACTEM_DATA_DIRECTORY", "/mnt"))


@contextmanager
def data_directory_of(folder: Path) -> Iterator[None]:
    """Another one for what runs in this thread, where several operators are in one process."""
    token = _own.set(folder)
    try:
        yield
    finally:
        _own.reset(token)

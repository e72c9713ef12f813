"""The folder of an operator that is called outside of runs: gone at its end, but for what it was asked to keep.

Whoever starts the operator in another process may make the folder, and remove it where that process was killed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from interactem.runtime.context import KEPT

__all__ = ["WORK", "clear_away", "new_folder", "outputs_folder"]

WORK = "work"
"""Of the folder, where the working folders of messages are."""


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="interactem-"))


def clear_away(folder: Path) -> None:
    """Remove it, but for the working folders of failed messages that are to stay. It may be gone already."""
    work = folder / WORK
    if not any(work.glob(f"{KEPT}-*")):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in (*folder.iterdir(), *work.iterdir()):
        if path != work and not path.name.startswith(KEPT):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def outputs_folder(folder: Path) -> Iterator[None]:
    """It is there meanwhile, and gone at the end where it was made for nothing."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if made:
            with suppress(OSError):  # there is something in it, or it is gone
                folder.rmdir()

"""Development: an operator's replicas are started again when its `run.py` changes.

What runs is a copy of the folder's `run.py`, so that the old code goes on, over restarts too, until the new one holds.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

POLL_SECONDS = 0.2
PROGRAM = "run.py"
_NOT_CODE = frozenset({PROGRAM, "__pycache__", "tests"})

Check = Callable[[str, Path], Awaitable[str | None]]
"""Is given an operator's name and a folder with its new `run.py`; answers what is wrong with it."""


class Watch:
    """Watches the `run.py` of operators, by their names in the catalog.

    `programs` gets the file that each is to be run from, a copy below `place`, and a new one after each change that
    `check` finds nothing wrong with; then `changed` is called. Otherwise `refused` is, with what is wrong. Contents
    are compared, so that it does not matter how an editor writes a file.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        place: Path,
        programs: MutableMapping[str, Path],
        *,
        check: Check,
        changed: Callable[[str], None],
        refused: Callable[[str, str], None],
    ) -> None:
        self._folders = {name: folder for name, folder in folders.items() if (folder / PROGRAM).is_file()}
        self._place = place
        self._programs = programs
        self._check = check
        self._changed = changed
        self._refused = refused
        self._taken = dict.fromkeys(self._folders, b"")
        self._seen = dict(self._taken)
        self._copies = dict.fromkeys(self._folders, 0)

    def begin(self) -> None:
        """Take what is there now, which was checked before."""
        shutil.rmtree(self._place, ignore_errors=True)  # of an earlier execution of the same run
        for name, folder in self._folders.items():
            self._taken[name] = self._seen[name] = (folder / PROGRAM).read_bytes()
            self._programs[name] = self._copy(name) / PROGRAM

    async def run(self) -> None:
        """Look for changes, until it is cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            for name in self._folders:
                await self._look(name)

    async def _look(self, name: str) -> None:
        with suppress(FileNotFoundError):  # an editor is about to rename another one to it
            before, self._seen[name] = self._seen[name], (self._folders[name] / PROGRAM).read_bytes()
            # the same twice: nobody is in the middle of writing it
            if before == self._seen[name] != self._taken[name]:
                await self._take(name)

    async def _take(self, name: str) -> None:
        self._taken[name] = self._seen[name]
        try:
            copy = self._copy(name)
        except OSError as error:
            self._refused(name, f"it cannot be copied to {error.filename}: {error.strerror}")
            return
        wrong = await self._check(name, copy)
        if wrong is None:
            self._programs[name] = copy / PROGRAM
            self._changed(name)
        else:
            self._refused(name, wrong.replace(str(copy), str(self._folders[name])))

    def _copy(self, name: str) -> Path:
        """A folder like the operator's, with what was read of its `run.py` now, and with the rest of it by links."""
        self._copies[name] += 1
        copy = self._place / name / str(self._copies[name])
        copy.mkdir(parents=True)
        (copy / PROGRAM).write_bytes(self._seen[name])
        for entry in self._folders[name].absolute().iterdir():
            if entry.name not in _NOT_CODE:
                (copy / entry.name).symlink_to(entry)
        return copy

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch for as long as this is open."""
        task = asyncio.create_task(self.run(), name="watch")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def check_syntax(name: str, folder: Path) -> str | None:
    """What Python says of a `run.py` without running it: all that can be known outside of its image."""
    file = folder / PROGRAM
    try:
        compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        return f"{file}{line}: {error.msg if isinstance(error, SyntaxError) else error}"
    return None

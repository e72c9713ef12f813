"""The lines of a file that may grow, or be replaced by another one of its name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from interactem.runtime.errors import InteractemRuntimeError
from interactem.runtime.tasks.ledger import Done, digest_of
from interactem.runtime.tasks.lines import LONGEST, TOO_LONG

CHUNK = 2**20
MARK = 2**16
"""So much of what was read last is looked at again: whether it is still there."""
BOM = b"\xef\xbb\xbf"

Line = tuple[int, bytes, bytes]
"""A task's line number, from 1, the line, and its digest."""


class InputError(InteractemRuntimeError, ValueError):
    """There are no tasks to be read."""


class Lines:
    """The whole lines of one file as it is now, from its beginning; without their ends.

    Raises `InputError` where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from None
        about = os.fstat(self._file)
        if not stat.S_ISREG(about.st_mode):
            os.close(self._file)
            raise InputError(f"{path} is not a file with lines")
        self._identity = (about.st_dev, about.st_ino)
        self._position = 0
        self._last = b""
        self._settled: int | None = None
        self._parts: list[bytes] = []
        self._length = 0

    def read(self) -> list[bytes] | None:
        """Some more lines, perhaps none; None at the end, for now."""
        try:
            chunk = os.read(self._file, CHUNK)
        except OSError as error:
            raise InputError(f"{self._path}: {(error.strerror or str(error)).lower()}") from None
        if not chunk:
            self._settle()
            return None
        begin = self._position == 0
        self._position += len(chunk)
        self._last = (self._last + chunk)[-MARK:]
        if begin:
            chunk = chunk.removeprefix(BOM)
        cut = chunk.rfind(b"\n")
        if cut < 0:
            self._add(chunk)
            return []
        first, *others = chunk[:cut].split(b"\n")
        self._add(first)
        lines = [self._whole(), *others]
        self._add(chunk[cut + 1 :])
        return lines

    def rest(self) -> list[bytes]:
        """What comes after the last end of a line, as a line."""
        return [self._whole()] if self._length else []

    def replaced(self) -> bool:
        """Whether the file of this name is another one now."""
        try:
            about = os.stat(self._path)
        except OSError:
            return False  # for a moment there is none
        return (about.st_dev, about.st_ino) != self._identity

    def rewritten(self) -> bool:
        """Whether what was read is not in it any more: by its end, or as it was written to and has not grown."""
        about = os.fstat(self._file)
        if about.st_size == self._position and self._settled not in (None, about.st_mtime_ns):
            return True
        return os.pread(self._file, len(self._last), self._position - len(self._last)) != self._last

    def ended(self) -> bool:
        """Whether there is nothing more to read, for now."""
        return os.fstat(self._file).st_size <= self._position

    def close(self) -> None:
        os.close(self._file)

    def _settle(self) -> None:
        """Note when it was written to last, where all of it has been read."""
        about = os.fstat(self._file)
        self._settled = about.st_mtime_ns if about.st_size == self._position else None

    def _add(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > LONGEST:
            self._parts = []
        elif part:
            self._parts.append(part)

    def _whole(self) -> bytes:
        line = TOO_LONG if self._length > LONGEST else b"".join(self._parts)
        self._parts, self._length = [], 0
        return line


class Tasks:
    """Those lines that are tasks of this process, and have no result yet.

    Of several processes, the one of a rank takes each line whose index, from 0, leaves it when divided by `world`.
    """

    def __init__(self, path: Path, done: Iterable[bytes], *, rank: int = 0, world: int = 1) -> None:
        self._path = path
        self._rank = rank
        self._world = world
        self._lines = Lines(path)
        self._done = Done(done)
        self._index = 0

    def read(self) -> list[Line] | None:
        """Some more tasks, perhaps none; None at the end, for now."""
        lines = self._lines.read()
        return None if lines is None else self._wanted(lines)

    def rest(self) -> list[Line]:
        return self._wanted(self._lines.rest())

    def replaced(self) -> bool:
        """Whether another file is to be read now, or the same one anew: all that was in the old one is read."""
        return self._lines.rewritten() or (self._lines.replaced() and self._lines.ended())

    def restart(self, done: Iterable[bytes]) -> None:
        """Read the file that has taken the place of this one; `done` are all lines that were given out."""
        lines = Lines(self._path)
        self._lines.close()
        self._lines, self._done, self._index = lines, Done(done), 0

    def close(self) -> None:
        self._lines.close()

    def _wanted(self, lines: list[bytes]) -> list[Line]:
        wanted: list[Line] = []
        rank, world, take = self._rank, self._world, self._done.take
        for index, line in enumerate(lines, self._index):
            if index % world != rank:
                continue
            line = line.removesuffix(b"\r")
            if not line or line.isspace():
                continue
            digest = digest_of(line)
            if not take(digest):
                wanted.append((index + 1, line, digest))
        self._index += len(lines)
        return wanted

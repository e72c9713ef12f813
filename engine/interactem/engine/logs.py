"""What replicas print, in a file for each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


class ReplicaLog:
    """Appends a replica's lines to its file.

    Lines that cannot be written, as on a full disk, are lost and counted: the replica must not wait for its log. How
    many were lost is written as soon as there is room again. `hide` takes out of a line what must not be in it.
    """

    def __init__(self, path: Path, hide: Callable[[bytes], bytes] = bytes) -> None:
        self.lost = 0
        self._path = path
        self._hide = hide
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __call__(self, line: bytes) -> None:
        line = self._hide(line)
        if self.lost:
            line = b"(%d lines were lost: the disk was full)\n%s" % (self.lost, line)
        try:
            self._write(line + b"\n")
            self.lost = 0
        except OSError:
            self.lost += 1

    def close(self) -> None:
        os.close(self._file)

    def _write(self, line: bytes) -> None:
        end = os.fstat(self._file).st_size
        if os.write(self._file, line) < len(line):
            os.ftruncate(self._file, end)  # half a line on a disk that is full now
            raise OSError(f"{self._path}: no space left")


def last_lines(log: Path, count: int = 30) -> list[str]:
    """The end of a replica's log, which says why it ended."""
    try:
        return log.read_bytes().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []

"""What a process prints, its children too, given on as it comes: standard output and standard error."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread

__all__ = ["Printed"]

STREAMS = (1, 2)
CHUNK = 2**16

Take = Callable[[int, bytes], None]
"""Is given a stream (1 or 2) and bytes. It may wait: whoever prints waits then."""


class Printed:
    """Takes the place of both streams for the rest of the process's life. `take` says who gets what is printed."""

    def __init__(self) -> None:
        self.take: Take = lambda stream, data: None
        self._changed = Condition()
        self._read = dict.fromkeys(STREAMS, 0)
        self._given = dict.fromkeys(STREAMS, 0)
        self._ends: dict[int, int] = {}
        for stream in STREAMS:
            end, other = os.pipe()
            os.dup2(other, stream)
            os.close(other)
            self._ends[end] = stream
        for file in (sys.stdout, sys.stderr):
            file.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        Thread(target=self._run, name="printed", daemon=True).start()

    def settle(self) -> None:
        """Return once all is given on that was printed until now, however much more is printed meanwhile."""
        for file in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # an operator may have closed it
                file.flush()
        with self._changed:
            wanted = {stream: self._read[stream] + _waiting(end) for end, stream in self._ends.items()}
            self._changed.wait_for(lambda: all(self._given[stream] >= count for stream, count in wanted.items()))

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select(list(self._ends), [], [])
            for end in ready:
                stream = self._ends[end]
                with self._changed:  # what is read and what still waits is counted as one
                    data = os.read(end, CHUNK)
                    self._read[stream] += len(data)
                self.take(stream, data)
                with self._changed:
                    self._given[stream] += len(data)
                    self._changed.notify_all()


def _waiting(end: int) -> int:
    """How many bytes a pipe holds."""
    count: int = struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, b"\0\0\0\0"))[0]
    return count

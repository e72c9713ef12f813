"""What a worker is at, in a few bytes that the process above it maps too: they outlive any death of the worker."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from struct import Struct

_PLACE = Struct("qdq")
CANCEL, FAIL = 1, 2
"""What is to become of a task that outlasts its limit."""


class TaskSlot:
    """Holds the number of the task that goes on (0: none), when it may be ended (0: never), and what it is then.

    Tasks are numbered from 1, in the order in which the worker is given them.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, _PLACE.size)
        view = memoryview(self._map)
        self._numbers, self._times = view.cast("q"), view.cast("d")

    @classmethod
    def make(cls) -> TaskSlot:
        if sys.platform == "linux":
            descriptor = os.memfd_create("task")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, _PLACE.size)
        return cls(descriptor)

    def begin(self, number: int, until: float = 0.0, then: int = 0) -> None:
        numbers = self._numbers
        if until or numbers[2]:
            self._times[1], numbers[2] = until, then
        numbers[0] = number

    def end(self) -> None:
        self._numbers[0] = 0

    @property
    def number(self) -> int:
        return self._numbers[0]

    @property
    def until(self) -> float:
        return self._times[1]

    @property
    def then(self) -> int:
        return self._numbers[2]

    def close(self) -> None:
        self._numbers.release()
        self._times.release()
        self._map.close()
        os.close(self.descriptor)

"""The memory of an arena: which of its blocks are taken, and their bytes. One process at a time writes to it."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactem.runtime.arena_index import BLOCKS, DATA, Index
from interactem.runtime.extents import Extents

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROWTH = 16 * 2**20
"""Memory is asked for in steps of so many bytes."""
LARGE = 4 * 2**20
"""Copying so much takes long enough that others should have the interpreter meanwhile."""


class Space:
    """The arena in `folder`, which is taken over, or made with `capacity` bytes. Raises `OSError`, `ValueError`."""

    def __init__(self, folder: Path, capacity: int) -> None:
        self.index = _index(folder, capacity)
        self.capacity = self.index.capacity
        with (folder / DATA).open("r+b") as file:
            self._file = os.dup(file.fileno())
            self.map = mmap.mmap(self._file, self.capacity)
        self.bytes = memoryview(self.map)
        self._protected: set[int] = set()
        self._extents = Extents(self.capacity)
        self._grown = 0
        held = self.index.held()
        for number in held:
            offset, room = self.index.extent(number)
            if not self._extents.occupy(offset, room):
                raise ValueError(f"block {number} of the arena {folder} is where another one is")
            self._grown = max(self._grown, offset + room)
        self._free = [number for number in range(BLOCKS - 1, -1, -1) if not self.index.generation(number) % 2]
        self.inherited = held
        """The blocks that an earlier incarnation of the producer has left."""
        self.index.begin(time.monotonic_ns())

    @property
    def taken(self) -> int:
        """Bytes that are not free."""
        return self.capacity - self._extents.free

    def take(self, room: int) -> tuple[int, int, int] | None:
        """The number, generation and offset of a block of so many bytes; None where there is none."""
        if not self._free:
            return None
        offset = self._extents.take(room)
        if offset is None:
            return None
        if offset + room > self._grown and not self._grow(offset + room):
            self._extents.give(offset, room)
            return None
        number = self._free.pop()
        return number, self.index.take(number, offset, room), offset

    def array(self, offset: int, size: int) -> NDArray[Any]:
        """The bytes of a block, to be written to: a new array for each call."""
        import numpy as np

        return np.frombuffer(self.map, np.uint8, size, offset)

    def protect(self, number: int, offset: int, room: int) -> None:
        """From now on, writing to a block ends the process. Until it is free."""
        if _protect(self.map, offset, room, mmap.PROT_READ):
            self._protected.add(number)

    def give(self, number: int, offset: int, room: int) -> None:
        """Free a block."""
        if number in self._protected:
            self._protected.remove(number)
            _protect(self.map, offset, room, mmap.PROT_READ | mmap.PROT_WRITE)
        self.index.free(number)  # before anybody can be given its memory
        self._extents.give(offset, room)
        self._free.append(number)

    def write(self, offset: int, data: memoryview) -> None:
        size = data.nbytes
        if size < LARGE:
            self.bytes[offset : offset + size] = data
            return
        import numpy as np

        np.copyto(np.frombuffer(self.map, np.uint8, size, offset), np.frombuffer(data, np.uint8))

    def _grow(self, end: int) -> bool:
        """Have the memory up to `end`: to write to what the system has no page for would end the process."""
        for goal in (min(self.capacity, -(-end // GROWTH) * GROWTH), end):
            try:
                os.posix_fallocate(self._file, self._grown, goal - self._grown)
            except OSError:
                continue
            self._grown = goal
            return True
        return False


def _protect(mapped: mmap.mmap, offset: int, size: int, rights: int) -> bool:
    """Whether it could be done."""
    import ctypes

    first = ctypes.c_char.from_buffer(mapped)
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    done: int = mprotect(ctypes.addressof(first) + offset, size, rights)
    return done == 0


def _index(folder: Path, capacity: int) -> Index:
    try:
        index = Index.open(folder, writable=True)
        if (folder / DATA).stat().st_size == index.capacity:
            return index
        raise ValueError(f"{folder / DATA} is not as large as its index says")
    except FileNotFoundError:
        pass
    with (folder / DATA).open("w+b") as file:
        file.truncate(capacity)
    return Index.make(folder, capacity)

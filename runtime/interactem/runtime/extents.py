"""Which parts of an arena are free: extents, of which the lowest that is large enough is taken first.

So the same few pages are used again and again: they are warm, and what was never needed takes no memory.
"""

from __future__ import annotations

from bisect import bisect_left

PAGE = 4096


def whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


class Extents:
    """The free extents of `capacity` bytes: sorted, disjoint, never adjacent. Sizes are whole pages."""

    __slots__ = ("_sizes", "_starts", "capacity", "free")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self._starts = [0] if capacity else []
        self._sizes = [capacity] if capacity else []

    def take(self, size: int) -> int | None:
        """Where `size` bytes are free from now on somebody's; None where there is no such extent."""
        for index, available in enumerate(self._sizes):
            if available >= size:
                start = self._starts[index]
                self._cut(index, start, size)
                return start
        return None

    def occupy(self, start: int, size: int) -> bool:
        """Take just these bytes. False where they are not all free."""
        index = bisect_left(self._starts, start + 1) - 1
        if index < 0 or self._starts[index] + self._sizes[index] < start + size:
            return False
        before = start - self._starts[index]
        if before:
            after = self._sizes[index] - before
            self._sizes[index] = before
            index += 1
            self._starts.insert(index, start)
            self._sizes.insert(index, after)
        self._cut(index, start, size)
        return True

    def _cut(self, index: int, start: int, size: int) -> None:
        self.free -= size
        if self._sizes[index] == size:
            del self._starts[index], self._sizes[index]
        else:
            self._starts[index] = start + size
            self._sizes[index] -= size

    def give(self, start: int, size: int) -> None:
        """Free what was taken."""
        self.free += size
        index = bisect_left(self._starts, start)
        joins_next = index < len(self._starts) and start + size == self._starts[index]
        joins_last = index > 0 and self._starts[index - 1] + self._sizes[index - 1] == start
        if joins_last:
            self._sizes[index - 1] += size + (self._sizes[index] if joins_next else 0)
            if joins_next:
                del self._starts[index], self._sizes[index]
        elif joins_next:
            self._starts[index] = start
            self._sizes[index] += size
        else:
            self._starts.insert(index, start)
            self._sizes.insert(index, size)

    @property
    def largest(self) -> int:
        return max(self._sizes, default=0)

    def __len__(self) -> int:
        return len(self._starts)

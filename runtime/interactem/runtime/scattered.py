"""Sets of integers that stay small: whether they come in rows, or scattered.

What comes in rows is kept as intervals. Where there are too many of these, as of a key's messages, which are any of
their source's, numbers are kept as bits instead, in chunks; a chunk that is full is an interval again. So a number
costs a bit for itself and one for each that lies between it and the next, at most `CHUNK` of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

CHUNK = 4_096
MOST_INTERVALS = 512
"""With more, all but the first become bits."""
_BYTES = CHUNK // 8
_FULL = b"\xff" * _BYTES


class Intervals:
    """A set of integers as sorted, disjoint, non-adjacent intervals `[start, stop)`."""

    __slots__ = ("starts", "stops")

    def __init__(self, starts: list[int] | None = None, stops: list[int] | None = None) -> None:
        self.starts = starts or []
        self.stops = stops or []

    def __contains__(self, value: int) -> bool:
        index = bisect_right(self.starts, value) - 1
        return index >= 0 and value < self.stops[index]

    def touches(self, start: int, stop: int) -> bool:
        """Whether any integer from `start` up to `stop` is in the set."""
        index = bisect_left(self.starts, stop) - 1
        return index >= 0 and start < self.stops[index]

    def add(self, start: int, stop: int) -> None:
        """Add every integer from `start` up to `stop`."""
        starts, stops = self.starts, self.stops
        if stops and stops[-1] == start:
            stops[-1] = stop  # a stream that comes in its order
            return
        first = bisect_left(stops, start)  # the first interval that is not wholly before, nor only short of touching
        last = bisect_right(starts, stop)
        if first < last:
            start, stop = min(start, starts[first]), max(stop, stops[last - 1])
        starts[first:last] = [start]
        stops[first:last] = [stop]

    def __len__(self) -> int:
        return len(self.starts)


class Numbers:
    """A set of integers from 0: `rows` as intervals, and `bits` of chunks that are not whole; no bits without rows."""

    __slots__ = ("bits", "rows")

    def __init__(self, rows: Intervals | None = None, bits: Mapping[int, bytes] | None = None) -> None:
        self.rows = rows or Intervals()
        self.bits = {chunk: bytearray(packed) for chunk, packed in (bits or {}).items()}

    def __contains__(self, number: int) -> bool:
        if self.bits:
            chunk = self.bits.get(number // CHUNK)
            if chunk is not None and chunk[number % CHUNK >> 3] >> (number & 7) & 1:
                return True
        return number in self.rows

    def touches(self, start: int, stop: int) -> bool:
        """Whether any integer from `start` up to `stop` is in the set."""
        if self.rows.touches(start, stop):
            return True
        if not self.bits:
            return False
        return any(self._bits_of(number) & _mask(number, end) for number, end in _pieces(start, stop))

    def add(self, start: int, stop: int) -> None:
        """Add every integer from `start` up to `stop`."""
        if not self.bits:
            self.rows.add(start, stop)
            if len(self.rows) > MOST_INTERVALS:
                self._scatter()
        elif stop - start == 1:
            self._set(start, stop)
        else:
            for number, end in _pieces(start, stop):
                self._set(number, end)

    def fill(self, stop: int) -> None:
        """Add every integer up to `stop`."""
        if stop <= 0:
            return
        self.rows.add(0, stop)
        for chunk in [chunk for chunk in self.bits if chunk * CHUNK < stop]:
            self._take_over(chunk, self.bits.pop(chunk))

    def _take_over(self, number: int, chunk: bytearray) -> None:
        """Keep of a chunk what is in no row."""
        kept = int.from_bytes(chunk, "little") & ~self._in_rows(number)
        if kept:
            self.bits[number] = chunk
            chunk[:] = (kept | self._in_rows(number)).to_bytes(_BYTES, "little")

    @property
    def first_gap(self) -> int:
        """Up to where everything is in it, where that is all there is; else -1."""
        return self.rows.stops[0] if len(self.rows) == 1 and not self.rows.starts[0] and not self.bits else -1

    def _scatter(self) -> None:
        starts, stops = self.rows.starts, self.rows.stops
        rest = list(zip(starts[1:], stops[1:], strict=True))
        del starts[1:], stops[1:]
        for start, stop in rest:
            for number, end in _pieces(start, stop):
                self._set(number, end)

    def _bits_of(self, start: int) -> int:
        chunk = self.bits.get(start // CHUNK)
        return 0 if chunk is None else int.from_bytes(chunk, "little")

    def _in_rows(self, number: int) -> int:
        """The bits of a chunk that are in rows too: with them one sees that it is full."""
        start, stop = number * CHUNK, (number + 1) * CHUNK
        first, last = bisect_right(self.rows.stops, start), bisect_left(self.rows.starts, stop)
        pairs = zip(self.rows.starts[first:last], self.rows.stops[first:last], strict=True)
        return sum(_mask(max(begun, start), min(end, stop)) for begun, end in pairs)

    def _set(self, start: int, stop: int) -> None:
        """Both of one chunk."""
        number = start // CHUNK
        chunk = self.bits.get(number)
        if chunk is None:
            chunk = self.bits[number] = bytearray(self._in_rows(number).to_bytes(_BYTES, "little"))
        if stop - start == 1:
            chunk[start % CHUNK >> 3] |= 1 << (start & 7)
            if chunk[-1] != 0xFF or chunk[0] != 0xFF:
                return
        else:
            chunk[:] = (int.from_bytes(chunk, "little") | _mask(start, stop)).to_bytes(_BYTES, "little")
        if chunk == _FULL:
            del self.bits[number]
            self.rows.add(number * CHUNK, (number + 1) * CHUNK)

    def __len__(self) -> int:
        """How many intervals and chunks there are: what it grows with."""
        return len(self.rows) + len(self.bits)

    @property
    def weight(self) -> int:
        """Bytes that it takes where it is stored, about."""
        return 10 * len(self.rows) + (_BYTES + 8) * len(self.bits)


def _pieces(start: int, stop: int) -> list[tuple[int, int]]:
    """The same, cut where chunks begin."""
    pieces = []
    while start < stop:
        end = min(stop, (start // CHUNK + 1) * CHUNK)
        pieces.append((start, end))
        start = end
    return pieces


def _mask(start: int, stop: int) -> int:
    """The bits of some numbers of one chunk."""
    return (1 << stop - start) - 1 << start % CHUNK

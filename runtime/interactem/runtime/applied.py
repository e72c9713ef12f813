"""Which messages have had their effect: a set of ids that stays small.

Ids that differ only in their position are kept as intervals, so that a stream worked through is one interval,
whatever its length. Below a source's low watermark, where nothing can come any more, everything counts as applied
and takes no room at all.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from interactem.runtime.ids import split


class Intervals:
    """A set of integers as sorted, disjoint, non-adjacent intervals `[start, stop)`."""

    __slots__ = ("starts", "stops")

    def __init__(self, starts: list[int] | None = None, stops: list[int] | None = None) -> None:
        self.starts = starts or []
        self.stops = stops or []

    def __contains__(self, value: int) -> bool:
        index = bisect_right(self.starts, value) - 1
        return index >= 0 and value < self.stops[index]

    def add(self, value: int) -> None:
        index = bisect_right(self.starts, value) - 1
        if index >= 0 and value < self.stops[index]:
            return
        touches_left = index >= 0 and self.stops[index] == value
        touches_right = index + 1 < len(self.starts) and self.starts[index + 1] == value + 1
        if touches_left and touches_right:
            self.stops[index] = self.stops.pop(index + 1)
            del self.starts[index + 1]
        elif touches_left:
            self.stops[index] = value + 1
        elif touches_right:
            self.starts[index + 1] = value
        else:
            self.starts.insert(index + 1, value)
            self.stops.insert(index + 1, value + 1)

    def fill_below(self, watermark: int) -> None:
        """Add every integer from 0 up to `watermark`: one interval takes the place of all that lie there."""
        if watermark <= 0:
            return
        index = bisect_right(self.starts, watermark)
        stop = max(watermark, self.stops[index - 1]) if index else watermark
        self.starts[:index] = [0]
        self.stops[:index] = [stop]

    def __len__(self) -> int:
        return len(self.starts)


class AppliedIds:
    """The ids that have had their effect, by the edge that they came in on."""

    __slots__ = ("_sets", "_watermarks")

    def __init__(self) -> None:
        self._sets: dict[tuple[int, str, str], Intervals] = {}
        self._watermarks: dict[str, int] = {}

    def seen(self, edge: int, message_id: str) -> bool:
        source, position, tail = split(message_id)
        if position < self._watermarks.get(source, 0):
            return True
        intervals = self._sets.get((edge, source, tail))
        return intervals is not None and position in intervals

    def add(self, edge: int, message_id: str) -> None:
        source, position, tail = split(message_id)
        key = (edge, source, tail)
        intervals = self._sets.get(key)
        if intervals is None:
            intervals = self._sets[key] = Intervals()
            intervals.fill_below(self._watermarks.get(source, 0))
        intervals.add(position)

    def forget(self, source: str, watermark: int) -> None:
        """Nothing of `source` below `watermark` can come again: keep only the watermark for it."""
        if watermark <= self._watermarks.get(source, 0):
            return
        self._watermarks[source] = watermark
        for key in [key for key in self._sets if key[1] == source]:
            intervals = self._sets[key]
            intervals.fill_below(watermark)
            if len(intervals) == 1 and intervals.stops[0] <= watermark:
                del self._sets[key]

    def __len__(self) -> int:
        """How many intervals are kept: what memory and checkpoints grow with."""
        return sum(map(len, self._sets.values()))

    def to_value(self) -> list[Any]:
        sets = [[edge, source, tail, s.starts, s.stops] for (edge, source, tail), s in self._sets.items()]
        return [self._watermarks, sets]

    @classmethod
    def from_value(cls, value: list[Any]) -> AppliedIds:
        applied = cls()
        watermarks, sets = value
        applied._watermarks.update(watermarks)
        for edge, source, tail, starts, stops in sets:
            applied._sets[edge, source, tail] = Intervals(list(starts), list(stops))
        return applied

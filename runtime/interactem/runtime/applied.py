"""Which messages have had their effect: a set of ids that stays small.

Ids that differ only in their largest number are kept as intervals, so that a stream worked through is one interval,
whatever its length. Below a source's low watermark, where nothing can come any more, everything counts as applied
and takes no room at all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from operator import ge
from typing import Any

from interactem.runtime.ids import Run, Series, origin, series_of


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


class AppliedIds:
    """The ids that have had their effect, by the edge that they came in on.

    `partitions` says how many there are of an edge. Of as many consecutive numbers only one comes to this replica (see
    `ids.partition`), so numbers are counted in groups of that size.
    """

    __slots__ = ("_partitions", "_sets", "_watermarks")

    def __init__(self, partitions: Mapping[int, int] | None = None) -> None:
        self._partitions = dict(partitions or {})
        self._sets: dict[tuple[int, Series], Intervals] = {}
        self._watermarks: dict[str, int] = {}

    def seen(self, edge: int, series: Series, number: int) -> bool:
        if self._is_below_watermark(series, number):
            return True
        intervals = self._sets.get((edge, series))
        return intervals is not None and number // self._partitions.get(edge, 1) in intervals

    def add(self, edge: int, series: Series, number: int) -> None:
        group = number // self._partitions.get(edge, 1)
        self._set(edge, series).add(group, group + 1)

    def is_new(self, edge: int, run: Run) -> bool:
        """Whether nothing of a run has been seen. False where the answer takes a look at each id."""
        if self._partitions.get(edge, 1) > 1 or self._is_below_watermark(run.series, run.first):
            return False
        intervals = self._sets.get((edge, run.series))
        return intervals is None or not intervals.touches(run.first, run.first + run.length)

    def add_run(self, edge: int, run: Run) -> None:
        if self._partitions.get(edge, 1) == 1:
            self._set(edge, run.series).add(run.first, run.first + run.length)
            return
        for number in range(run.first, run.first + run.length):
            self.add(edge, run.series, number)

    def _set(self, edge: int, series: Series) -> Intervals:
        key = (edge, series)
        intervals = self._sets.get(key)
        if intervals is None:
            intervals = self._sets[key] = Intervals()
            source, position = origin(series)
            watermark = self._watermarks.get(source, 0) // self._partitions.get(edge, 1) if position is None else 0
            if watermark:
                intervals.add(0, watermark)
        return intervals

    def _is_below_watermark(self, series: Series, number: int) -> bool:
        if not self._watermarks:
            return False
        source, position = origin(series)
        return 0 <= (number if position is None else position) < self._watermarks.get(source, 0)

    def forget(self, source: str, watermark: int) -> None:
        """Nothing of `source` below `watermark` can come again: keep only the watermark for it."""
        if watermark <= self._watermarks.get(source, 0):
            return
        self._watermarks[source] = watermark
        for key in list(self._sets):
            edge, series = key
            name, position = origin(series)
            if name == source and self._is_forgotten(edge, self._sets[key], position, watermark):
                del self._sets[key]

    def _is_forgotten(self, edge: int, intervals: Intervals, position: int | None, watermark: int) -> bool:
        if position is not None:
            return position < watermark
        below = watermark // self._partitions.get(edge, 1)
        if below:
            intervals.add(0, below)
        return len(intervals) == 1 and intervals.stops[0] <= below

    def __len__(self) -> int:
        """How many intervals are kept: what memory and checkpoints grow with."""
        return sum(map(len, self._sets.values()))

    def to_value(self) -> list[Any]:
        sets = [[edge, key.prefix, key.suffix, s.starts, s.stops] for (edge, key), s in self._sets.items()]
        return [self._watermarks, sets]

    @classmethod
    def from_value(cls, value: list[Any], partitions: Mapping[int, int] | None = None) -> AppliedIds:
        """Raises `ValueError` or `TypeError` for a value that is not what `to_value` gives."""
        applied = cls(partitions)
        watermarks, sets = value
        applied._watermarks.update(watermarks)
        if not all(type(name) is str and type(mark) is int for name, mark in applied._watermarks.items()):
            raise TypeError("a low watermark is a number for a source's name")
        for edge, prefix, suffix, starts, stops in sets:
            if (type(edge), type(prefix), type(suffix)) != (int, str, str):
                raise TypeError("ids applied are an edge, prefix, suffix and intervals")
            applied._sets[edge, series_of(prefix, suffix)] = Intervals(*_checked(starts, stops))
        return applied


def _checked(starts: list[int], stops: list[int]) -> tuple[list[int], list[int]]:
    """The bounds of intervals, if they rise as they must."""
    bounds = [bound for pair in zip(starts, stops, strict=True) for bound in pair]
    if not {int}.issuperset(map(type, bounds)) or any(map(ge, bounds, bounds[1:])):
        raise ValueError("intervals do not rise")
    return list(starts), list(stops)

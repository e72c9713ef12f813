"""Which messages have had their effect: a set of ids that stays small.

Ids that differ only in their largest number are kept as intervals, so that a stream worked through is one interval,
whatever its length. Below a source's low watermark, where nothing can come any more, everything counts as applied
and takes no room at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import ge
from typing import Any

from interactem.runtime.ids import MOST, Run, Series, origin, series_of
from interactem.runtime.scattered import CHUNK, Intervals, Numbers


class AppliedIds:
    """The ids that have had their effect, by the edge that they came in on.

    `partitions` says how many there are of an edge. Of as many consecutive numbers only one comes to this replica (see
    `ids.partition`), so numbers are counted in groups of that size.
    """

    __slots__ = ("_partitions", "_sets", "_watermarks")

    def __init__(self, partitions: Mapping[int, int] | None = None) -> None:
        self._partitions = dict(partitions or {})
        self._sets: dict[tuple[int, Series], Numbers] = {}
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

    def _set(self, edge: int, series: Series) -> Numbers:
        key = (edge, series)
        intervals = self._sets.get(key)
        if intervals is None:
            intervals = self._sets[key] = Numbers()
            source, position = origin(series)
            watermark = self._watermarks.get(source, 0) // self._partitions.get(edge, 1) if position is None else 0
            if watermark:
                intervals.fill(watermark)
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

    def _is_forgotten(self, edge: int, intervals: Numbers, position: int | None, watermark: int) -> bool:
        if position is not None:
            return position < watermark
        below = watermark // self._partitions.get(edge, 1)
        if below:
            intervals.fill(below)
        return 0 <= intervals.first_gap <= below

    def __len__(self) -> int:
        """How many intervals and chunks of bits are kept: what memory and checkpoints grow with."""
        return sum(map(len, self._sets.values()))

    @property
    def weight(self) -> int:
        """Bytes that it takes in a checkpoint, about."""
        return sum([numbers.weight for numbers in self._sets.values()])

    def to_value(self) -> list[Any]:
        sets = [
            [edge, key.prefix, key.suffix, s.rows.starts, s.rows.stops, *([s.bits] if s.bits else [])]
            for (edge, key), s in self._sets.items()
        ]
        return [self._watermarks, sets]

    @classmethod
    def from_value(cls, value: list[Any], partitions: Mapping[int, int] | None = None) -> AppliedIds:
        """Raises `ValueError` or `TypeError` for a value that is not what `to_value` gives."""
        applied = cls(partitions)
        watermarks, sets = value
        applied._watermarks.update(watermarks)
        if not all(type(name) is str and type(mark) is int for name, mark in applied._watermarks.items()):
            raise TypeError("a low watermark is a number for a source's name")
        for edge, prefix, suffix, starts, stops, *bits in sets:
            if (type(edge), type(prefix), type(suffix)) != (int, str, str):
                raise TypeError("ids applied are an edge, prefix, suffix and intervals")
            numbers = Numbers(Intervals(*_checked(starts, stops)), *map(_checked_bits, bits))
            if numbers.bits and not numbers.rows:
                raise ValueError("bits without intervals")
            applied._sets[edge, series_of(prefix, suffix)] = numbers
        return applied


def _checked(starts: list[int], stops: list[int]) -> tuple[list[int], list[int]]:
    """The bounds of intervals, if they rise as they must."""
    bounds = [bound for pair in zip(starts, stops, strict=True) for bound in pair]
    if not {int}.issuperset(map(type, bounds)) or any(map(ge, bounds, bounds[1:])):
        raise ValueError("intervals do not rise")
    return list(starts), list(stops)


def _checked_bits(bits: dict[int, bytes]) -> dict[int, bytes]:
    """The bits of chunks, if they are some."""
    if type(bits) is not dict:
        raise TypeError("the bits of chunks are a map")
    for chunk, packed in bits.items():
        if type(chunk) is not int or not 0 <= chunk < MOST or type(packed) is not bytes or len(packed) != CHUNK // 8:
            raise ValueError("the bits of a chunk are not what they should be")
    return bits

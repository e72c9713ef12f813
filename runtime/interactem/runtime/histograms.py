"""How long things take: counts in buckets that grow with the time, for percentiles of microseconds and of minutes.

Each octave of seconds (from a power of two to the next) is divided into 16 buckets of equal width. A percentile is the
middle of the bucket that holds it, so it is at most 1/32 (3.2 %) away from the time that was recorded there. Buckets of
equal places add up: across replicas, restarts and programs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import frexp
from typing import Any, Self

PARTS = 16
FIRST_OCTAVE = -24
LAST_OCTAVE = 18
SHORTEST = 2.0 ** (FIRST_OCTAVE - 1)
"""What is shorter (30 ns) is counted as this long."""
LONGEST = 2.0**LAST_OCTAVE
"""What is longer (3 days) is counted as this long."""
BUCKETS = (LAST_OCTAVE - FIRST_OCTAVE + 1) * PARTS
ERROR = 0.5 / PARTS
"""How far a percentile may be from the time that it stands for, as a part of it."""


@dataclass(slots=True)
class Histogram:
    """Times in seconds: how many in each bucket, by its index, and their sum."""

    buckets: dict[int, int] = field(default_factory=dict)
    sum: float = 0.0

    def record(self, seconds: float) -> None:
        if SHORTEST <= seconds < LONGEST:
            fraction, octave = frexp(seconds)  # seconds = fraction * 2**octave, the fraction from 0.5 to below 1
            index = (octave - FIRST_OCTAVE) * PARTS + int(fraction * (2 * PARTS)) - PARTS
        else:
            seconds = max(0.0, min(LONGEST, seconds))  # below 0 where two hosts' clocks differ
            index = BUCKETS - 1 if seconds == LONGEST else 0
        self.sum += seconds
        self.buckets[index] = self.buckets.get(index, 0) + 1

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def add(self, other: Self) -> None:
        for index, count in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + count
        self.sum += other.sum

    def percentile(self, percent: float) -> float | None:
        """The time that `percent` of all are not above, in seconds; None while there are none."""
        rank = math.ceil(self.count * percent / 100)
        for index in sorted(self.buckets):
            rank -= self.buckets[index]
            if rank <= 0:
                return (lower_bound(index) + lower_bound(index + 1)) / 2
        return None

    def below(self, bounds: Iterable[float]) -> list[int]:
        """How many are below each of these bounds, which rise and are powers of two."""
        indexes = sorted(self.buckets)
        found: list[int] = []
        total = place = 0
        for bound in bounds:
            while place < len(indexes) and lower_bound(indexes[place]) < bound:
                total += self.buckets[indexes[place]]
                place += 1
            found.append(total)
        return found

    def to_value(self) -> dict[str, Any]:
        """Plain lists, for msgpack and JSON: only the buckets that hold something."""
        buckets = self.buckets.copy()  # another thread may record meanwhile
        return {"sum": self.sum, "indexes": list(buckets), "counts": list(buckets.values())}

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> Self:
        """Raises `ValueError`, `TypeError` or `KeyError` for what is not a histogram: it may come from anybody."""
        indexes, counts, total = value["indexes"], value["counts"], float(value["sum"])
        if not {int}.issuperset(map(type, [*indexes, *counts])) or len(set(indexes)) != len(counts):
            raise ValueError("a histogram's buckets are not what they should be")
        if not math.isfinite(total) or any(not 0 <= i < BUCKETS for i in indexes) or any(c < 0 for c in counts):
            raise ValueError("a histogram's buckets are out of range")
        return cls(dict(zip(indexes, counts, strict=True)), total)


def lower_bound(index: int) -> float:
    """Where a bucket begins, in seconds; it ends where the next one begins."""
    octave, part = divmod(index, PARTS)
    return math.ldexp((PARTS + part) / (2 * PARTS), octave + FIRST_OCTAVE)

"""Figures, and what they amount to. Pure functions over values.

Every figure is a rate or another number of which more is better, so that one rule judges all rows.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.workspace import Workspace

QUIET = 0.25
"""How many cores others may use, on average, in a measurement that counts as quiet."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure. `details` are told beside it; `cpu_seconds` is what it cost, of all its processes."""

    value: float
    cpu_seconds: float
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """A measurement as it was taken: the load average before, and the cores that others used meanwhile."""

    measurement: Measurement
    load: float
    others: float

    @property
    def value(self) -> float:
        return self.measurement.value


@dataclass(frozen=True, slots=True)
class Pair:
    """Our figure and the reference's, taken one after the other; there is none where a row has no reference."""

    ours: Taken
    reference: Taken | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours.value / self.reference.value if self.reference else None

    @property
    def others(self) -> float:
        return max(self.ours.others, self.reference.others if self.reference else 0.0)


Measure = Callable[["Workspace"], Measurement]


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured, beside what, and what is asked: of the ratio (`at_least`), of our figure (`ours_at_least`).

    A row that takes minutes is measured `once`.
    """

    name: str
    unit: str
    about: str
    ours: Measure
    reference: Measure | None = None
    reference_about: str = ""
    at_least: float | None = None
    ours_at_least: float | None = None
    once: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, and the least and the greatest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Raises `ValueError` where there are none."""
        found = sorted(values)
        if not found:
            raise ValueError("there is no spread of no values")
        return cls(statistics.median(found), found[0], found[-1])


@dataclass(frozen=True, slots=True)
class Result:
    """What has come of a row."""

    row: Row
    pairs: tuple[Pair, ...]

    @property
    def ours(self) -> Spread:
        return Spread.of(pair.ours.value for pair in self.pairs)

    @property
    def reference(self) -> Spread | None:
        found = [pair.reference.value for pair in self.pairs if pair.reference]
        return Spread.of(found) if found else None

    @property
    def ratio(self) -> Spread | None:
        """Of the pairs' own ratios: what slows the machine down for a while slows down both of a pair."""
        found = [pair.ratio for pair in self.pairs if pair.ratio is not None]
        return Spread.of(found) if found else None

    @property
    def reached(self) -> bool | None:
        """Whether all that is asked is reached; None where nothing is asked."""
        asked: list[bool] = []
        if self.row.at_least is not None:
            asked.append(self.ratio is not None and self.ratio.median >= self.row.at_least)
        if self.row.ours_at_least is not None:
            asked.append(self.ours.median >= self.row.ours_at_least)
        return all(asked) if asked else None

    @property
    def others(self) -> float:
        return max(pair.others for pair in self.pairs)

    @property
    def load(self) -> float:
        """The highest load average before a measurement. It remembers the measurements before, ours too."""
        taken = [each for pair in self.pairs for each in (pair.ours, pair.reference) if each]
        return max(each.load for each in taken)

    def details(self) -> dict[str, float]:
        """The medians of what our measurements tell beside their figure."""
        return _medians([pair.ours for pair in self.pairs])

    def reference_details(self) -> dict[str, float]:
        return _medians([pair.reference for pair in self.pairs if pair.reference])


def _medians(taken: Sequence[Taken]) -> dict[str, float]:
    names = dict.fromkeys(name for each in taken for name in each.measurement.details)
    return {
        name: statistics.median(e.measurement.details[name] for e in taken if name in e.measurement.details)
        for name in names
    }


def quietest(pairs: Sequence[Pair], count: int) -> tuple[Pair, ...]:
    """The `count` pairs that others disturbed least, in the order in which they were taken.

    They are chosen by the others' use of the machine alone, never by their figures.
    """
    chosen = sorted(range(len(pairs)), key=lambda index: pairs[index].others)[:count]
    return tuple(pairs[index] for index in sorted(chosen))


def enough(pairs: Sequence[Pair], count: int) -> bool:
    """Whether `count` pairs were quiet, or twice as many were tried."""
    quiet = sum(pair.others <= QUIET for pair in pairs)
    return quiet >= count or len(pairs) >= 2 * count

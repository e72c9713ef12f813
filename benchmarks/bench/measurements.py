"""Figures, and what they amount to. Pure functions over values."""

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


Measure = Callable[["Workspace"], Measurement]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a row is measured beside, and what is asked of the ratio to it.

    `name` is what the row's name is followed by, where it has several: `vs dora`. With `detail`, that detail of the
    measurements is compared in place of their values: one measurement may hold several figures.
    """

    about: str
    take: Measure
    at_least: float | None = None
    name: str = ""
    detail: str = ""

    def figure(self, measurement: Measurement) -> float:
        return measurement.details[self.detail] if self.detail else measurement.value


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured, beside what, and what is asked of our figure alone (`ours_at_least`).

    Of a figure more is better, unless `less` is. A row that takes minutes is measured `once`.
    """

    name: str
    unit: str
    about: str
    ours: Measure
    references: tuple[Reference, ...] = ()
    ours_at_least: float | None = None
    less: bool = False
    once: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """Our measurement and those of the row's references, one after the other. What could not be had is missing."""

    ours: Taken
    references: Mapping[Measure, Taken] = field(default_factory=dict)

    @property
    def others(self) -> float:
        return max(taken.others for taken in (self.ours, *self.references.values()))


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
    """What has come of a row, beside one of its references if it has any. The rounds all have that reference."""

    row: Row
    rounds: tuple[Round, ...]
    against: Reference | None = None

    @property
    def name(self) -> str:
        return f"{self.row.name} {self.against.name}".rstrip() if self.against else self.row.name

    @property
    def at_least(self) -> float | None:
        return self.against.at_least if self.against else None

    @property
    def ours(self) -> Spread:
        return Spread.of(self._figure(each.ours) for each in self.rounds)

    @property
    def reference(self) -> Spread | None:
        return Spread.of(map(self._figure, self._beside())) if self.against else None

    @property
    def ratio(self) -> Spread | None:
        """Of the rounds' own ratios: what slows the machine down for a while slows down all of a round.

        It says how many times better ours is, also where less is better.
        """
        if self.against is None:
            return None
        pairs = [(self._figure(e.ours), self._figure(e.references[self.against.take])) for e in self.rounds]
        return Spread.of(theirs / ours if self.row.less else ours / theirs for ours, theirs in pairs)

    @property
    def reached(self) -> bool | None:
        """Whether all that is asked is reached; None where nothing is asked."""
        asked: list[bool] = []
        if self.at_least is not None:
            asked.append(self.ratio is not None and self.ratio.median >= self.at_least)
        if (bound := self.row.ours_at_least) is not None:
            ours = self.ours.median
            asked.append(ours <= bound if self.row.less else ours >= bound)
        return all(asked) if asked else None

    @property
    def others(self) -> float:
        return max(taken.others for taken in self._taken())

    @property
    def load(self) -> float:
        """The highest load average before a measurement. It remembers the measurements before, ours too."""
        return max(taken.load for taken in self._taken())

    def details(self) -> dict[str, float]:
        """The medians of what our measurements tell beside their figure."""
        return _medians([each.ours for each in self.rounds])

    def reference_details(self) -> dict[str, float]:
        return _medians(self._beside())

    def _figure(self, taken: Taken) -> float:
        return self.against.figure(taken.measurement) if self.against else taken.value

    def _beside(self) -> list[Taken]:
        return [each.references[self.against.take] for each in self.rounds] if self.against else []

    def _taken(self) -> list[Taken]:
        return [*(each.ours for each in self.rounds), *self._beside()]


def _medians(taken: Sequence[Taken]) -> dict[str, float]:
    names = dict.fromkeys(name for each in taken for name in each.measurement.details)
    return {
        name: statistics.median(e.measurement.details[name] for e in taken if name in e.measurement.details)
        for name in names
    }


def quietest(rounds: Sequence[Round], count: int) -> tuple[Round, ...]:
    """The `count` rounds that others disturbed least, in the order in which they were taken.

    They are chosen by the others' use of the machine alone, never by their figures.
    """
    chosen = sorted(range(len(rounds)), key=lambda index: rounds[index].others)[:count]
    return tuple(rounds[index] for index in sorted(chosen))


def enough(rounds: Sequence[Round], count: int) -> bool:
    """Whether `count` rounds were quiet, or twice as many were tried."""
    quiet = sum(each.others <= QUIET for each in rounds)
    return quiet >= count or len(rounds) >= 2 * count

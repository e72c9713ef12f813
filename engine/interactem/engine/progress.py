"""How far a run has come: numbers for people, for the page, for metrics and for the summary."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from interactem.engine.gpus import GpuUse
from interactem.runtime.statistics import LATE, Statistics

REMEMBERED = 8
"""So many starts of a replica that are over are known again, should they still be heard of."""


@dataclass(slots=True)
class ReplicaProgress:
    """One replica's numbers, over all its starts. `latest` and the author's words in them are those of the last one."""

    index: int
    running: bool = False
    restarts: int = 0
    rate: float = 0.0
    statistics: Statistics = field(default_factory=Statistics)
    gpu: GpuUse | None = None


@dataclass(slots=True)
class OperatorProgress:
    """One operator's numbers; `rate` is in messages per second: those received, or sent by a source.

    `waiting` are batches that are left for it, `p50` and `p99` percentiles of its kernel's seconds, `memory` the bytes
    that its replicas hold. These, and `statistics` of all together, come from `each` where there is any.
    """

    name: str
    replicas: int
    running: int = 0
    received: int = 0
    sent: int = 0
    unwanted: int = 0
    late: int = 0
    rate: float = 0.0
    waiting: int = 0
    retried: int = 0
    dead: int = 0
    restarts: int = 0
    state: str = "starting"
    p50: float | None = None
    p99: float | None = None
    memory: int | None = None
    each: tuple[ReplicaProgress, ...] = ()
    statistics: Statistics = field(default_factory=Statistics)

    def __post_init__(self) -> None:
        if self.each:
            self.statistics = together(self.each)
            self.p50, self.p99 = (self.statistics.times["kernel"].percentile(percent) for percent in (50, 99))
            self.memory = self.statistics.latest.get("memory_bytes")
            self.unwanted = int(self.statistics.totals["unwanted"])
            self.late = int(self.statistics.counters.get(LATE, 0))


class Tally:
    """Adds up what the starts of an operator's replicas say of themselves."""

    def __init__(self) -> None:
        self._past: dict[int, Statistics] = {}
        self._current: dict[int, Statistics] = {}
        self._over: dict[int, list[str]] = {}
        self._rates: dict[int, Rate] = {}

    def hear(self, replica: int, told: Statistics) -> None:
        if told.born in self._over.get(replica, ()):
            return  # what it has said last came after its end was noticed
        current = self._current.get(replica)
        if current is not None and current.born != told.born:
            self.close(replica)
        self._current[replica] = told

    def close(self, replica: int) -> None:
        """The start is over: what was said last stays."""
        current = self._current.pop(replica, None)
        if current is not None:
            self._past.setdefault(replica, Statistics()).add(current)
            self._over[replica] = [*self._over.get(replica, ()), current.born][-REMEMBERED:]

    def past(self, replica: int) -> dict[str, Any]:
        """What its starts have said that are over, for `take_up` of another supervisor."""
        return self._past.get(replica, Statistics()).to_value()

    def take_up(self, replica: int, past: dict[str, Any]) -> None:
        self._past[replica] = Statistics.from_value(past)

    @property
    def heard(self) -> bool:
        """Whether any replica that was started has said something."""
        return bool(self._current)

    def of(self, replica: int) -> Statistics:
        """The replica's numbers over all its starts."""
        total = Statistics()
        for part in (self._past.get(replica), self._current.get(replica)):
            if part is not None:
                total.add(part)
        total.latest = {}
        current = self._current.get(replica)
        if current is not None:
            total.latest, total.gauges = dict(current.latest), dict(current.gauges)
            total.progress, total.status, total.pid = current.progress, current.status, current.pid
        return total

    def total(self, name: str) -> int:
        return sum(int(part.totals[name]) for parts in (self._past, self._current) for part in parts.values())

    def progress_of(self, replica: int) -> int:
        """Grows when the replica gets on with its work."""
        current = self._current.get(replica)
        return (
            0 if current is None else int(sum(current.totals[name] for name in ("received", "sent", "retried", "dead")))
        )

    def replica(
        self, index: int, time: float, *, running: bool, restarts: int, source: bool, gpu: GpuUse | None
    ) -> ReplicaProgress:
        """The replica's progress at this time. One that does not run holds nothing."""
        statistics = self.of(index)
        if not running:
            statistics.latest = {}
        rate = self._rates.setdefault(index, Rate()).at(time, statistics.totals["sent" if source else "received"])
        return ReplicaProgress(index, running, restarts, rate, statistics, gpu if running else None)


class Rate:
    """A rate over the last few seconds."""

    def __init__(self, seconds: float = 2.0) -> None:
        self._seconds = seconds
        self._points: list[tuple[float, float]] = []

    def at(self, time: float, count: float) -> float:
        self._points.append((time, count))
        while len(self._points) > 2 and time - self._points[1][0] >= self._seconds:
            del self._points[0]
        (begun, first), (now, last) = self._points[0], self._points[-1]
        return max(0.0, (last - first) / (now - begun)) if now > begun else 0.0


def together(replicas: Collection[ReplicaProgress]) -> Statistics:
    """The numbers of several replicas."""
    total = Statistics()
    for replica in replicas:
        total.add(replica.statistics)
    return total

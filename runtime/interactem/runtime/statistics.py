"""The numbers of a replica: counted where things happen, told as one value, read and added up by others.

`Counts` is what the replica itself adds to. `Statistics` is what others read of it, from a report that may be of any
origin. docs/observability.md says what each number means.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from interactem.runtime.histograms import Histogram
from interactem.runtime.telling import MOST_NAMES, STATUS_LENGTH, Telling, is_name
from interactem.runtime.usage import usage

VERSION = 1
TOTALS = ("received", "sent", "unwanted", "received_bytes", "sent_bytes", "retried", "dead")
"""What is counted, and added up over replicas and their restarts."""
SECONDS = ("busy_seconds", "cpu_seconds")
"""What adds up like it, and is no whole number."""
LATEST = ("waiting", "in_flight", "memory_bytes")
"""What holds for a moment, of a replica that runs."""
TIMES = ("kernel", "transport", "storing")
"""What is told as a histogram of seconds."""
LATE = "late_messages"
"""The counter of what came to a reducer when its windows had ended."""


@dataclass(slots=True)
class Counts:
    """What a replica has done in its life; `kernel` is the mean time of one call lately, in seconds."""

    received: int = 0
    sent: int = 0
    unwanted: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    retried: int = 0
    dead: int = 0
    kernel: float = 0.0
    busy_seconds: float = 0.0
    waiting: int = 0
    in_flight: int = 0
    kernel_times: Histogram = field(default_factory=Histogram)
    transport_times: Histogram = field(default_factory=Histogram)
    storing_times: Histogram = field(default_factory=Histogram)
    telling: Telling = field(default_factory=Telling)
    born: str = field(default_factory=lambda: f"{os.getpid()}-{time.time_ns()}")
    """Tells this start of the replica from those before it."""

    def timed(self, calls: int, seconds: float) -> None:
        """So many calls took so long altogether."""
        self.busy_seconds += seconds
        mean = max(seconds / calls, 1e-9)
        # many calls say more than the first one, which may have been slow for reasons of its own
        share = max(0.3, calls / (calls + 16)) if self.kernel else 1.0
        self.kernel += share * (mean - self.kernel)

    def to_value(self) -> dict[str, Any]:
        used = usage()
        value: dict[str, Any] = {"version": VERSION, "born": self.born, "time": time.time(), "pid": os.getpid()}
        value |= {name: getattr(self, name) for name in (*TOTALS, "kernel", "busy_seconds", "waiting", "in_flight")}
        value |= {"cpu_seconds": used.cpu, "memory_bytes": used.memory}
        value["peak_memory_bytes"] = used.peak_memory
        value["times"] = {name: getattr(self, f"{name}_times").to_value() for name in TIMES}
        return value | {"author": self.telling.to_value()}


@dataclass(slots=True)
class Statistics:
    """What one or several replicas have reported. `latest` has only what was told."""

    totals: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*TOTALS, *SECONDS), 0))
    latest: dict[str, int] = field(default_factory=dict)
    times: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name in TIMES})
    counters: dict[str, float] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    """Bytes; of several, the most that one of them held."""
    progress: float | None = None
    status: str = ""
    born: str = ""
    pid: int = 0

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Raises `ValueError` for what is no report: an operator's own code may have written it."""
        try:
            return cls._read(value)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not a report of version {VERSION}: {error!r}") from error

    @classmethod
    def _read(cls, value: Mapping[str, Any]) -> Self:
        if value["version"] != VERSION:
            raise ValueError(f"a report of version {value['version']!r}; this program reads {VERSION}")
        author = value["author"]
        progress = author["progress"]
        return cls(
            totals={name: _count(value[name]) for name in TOTALS} | {name: _number(value[name]) for name in SECONDS},
            latest={name: _count(value[name]) for name in LATEST if value[name] is not None},
            times={name: Histogram.from_value(value["times"][name]) for name in TIMES},
            counters=_numbers(author["counters"]),
            gauges=_numbers(author["gauges"]),
            peak_memory=_count(value["peak_memory_bytes"]),
            progress=None if progress is None else _number(progress),
            status=str(author["status"])[:STATUS_LENGTH],
            born=str(value["born"])[:STATUS_LENGTH],
            pid=_count(value["pid"]),
        )

    def to_value(self) -> dict[str, Any]:
        """The same as a value, which `from_value` reads."""
        author = {"counters": self.counters, "gauges": self.gauges, "progress": self.progress, "status": self.status}
        value: dict[str, Any] = {"version": VERSION, "born": self.born, "pid": self.pid, "author": author}
        value |= self.totals | {name: self.latest.get(name) for name in LATEST}
        times = {name: self.times[name].to_value() for name in TIMES}
        return value | {"peak_memory_bytes": self.peak_memory, "times": times}

    def add(self, other: Self) -> None:
        """Totals, times and counters add up; what holds for a moment adds up too, gauges and words do not."""
        for name, number in other.totals.items():
            self.totals[name] += number
        for name, histogram in other.times.items():
            self.times[name].add(histogram)
        for name, number in other.counters.items():
            self.counters[name] = self.counters.get(name, 0) + number
        self.peak_memory = max(self.peak_memory, other.peak_memory)
        for name, count in other.latest.items():
            self.latest[name] = self.latest.get(name, 0) + count


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is not a count")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is not a number from 0")
    return float(value)


def _numbers(value: Any) -> dict[str, float]:
    good = all(is_name(name) and type(number) in (int, float) for name, number in value.items())
    if len(value) > MOST_NAMES or not good:
        raise ValueError("not the author's numbers")
    return {name: number for name, number in value.items() if math.isfinite(number)}

"""Watermarks: up to which event time everything has come, as far as that can be known. Pure values.

Messages are followed by the source that they began in and the edge on which they come, together an origin. Their ids
say which position of the source they come from. An origin's time is the latest event time among its messages up to the
first position that is missing: what others have overtaken, as it is tried again or in another replica's hands, is
waited for, but no longer than `patience` seconds on the clock. The watermark is the least of the origins' times, less
the allowed lateness. It never goes back.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from interactem.runtime.ids import MOST, Series, origin

MOST_GAPS = 2**16
"""With more positions missing than this, those missing longest are not waited for."""
_KEPT_GAPS = 256
"""So many are stored: after a crash the others count as missing, for `patience` at most."""


@dataclass(slots=True)
class Origin:
    """How far the messages of one origin have come: all before `prefix`, and the spans behind gaps."""

    prefix: int = 0
    time: float = -math.inf
    starts: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    since: list[float] = field(default_factory=list)
    heard: float = 0.0
    """When something came last, on the clock."""

    def add(self, position: int, time: float, now: float) -> None:
        self.heard = now
        if position <= self.prefix:
            self.prefix = max(self.prefix, position + 1)
            self.time = max(self.time, time)
            if self.starts and self.starts[0] <= self.prefix:
                self._join(1)
            return
        index = bisect_right(self.starts, position) - 1
        if index >= 0 and position <= self.stops[index]:
            self.stops[index] = max(self.stops[index], position + 1)
            self.times[index] = max(self.times[index], time)
            if index + 1 < len(self.starts) and self.starts[index + 1] == self.stops[index]:
                self._merge(index)
            return
        index += 1
        if index < len(self.starts) and self.starts[index] == position + 1:
            self.starts[index], self.times[index] = position, max(self.times[index], time)
            return
        # what lies before it is missing since what lies behind it has come
        since = self.since[index] if index < len(self.since) else now
        for values, value in zip(self._lists, (position, position + 1, time, since), strict=True):
            values.insert(index, value)
        if len(self.starts) > MOST_GAPS:
            self._join(len(self.starts) // 8)

    @property
    def _lists(self) -> tuple[list[Any], ...]:
        return self.starts, self.stops, self.times, self.since

    def _merge(self, index: int) -> None:
        """The span at `index` and the one behind it touch."""
        self.stops[index] = self.stops[index + 1]
        self.times[index] = max(self.times[index : index + 2])
        self.since[index] = min(self.since[index : index + 2])
        for values in self._lists:
            del values[index + 1]

    def _join(self, count: int) -> None:
        """The first spans belong to what has come, and those that touch them then."""
        while count < len(self.starts) and self.starts[count] <= self.stops[count - 1]:
            count += 1
        self.prefix = max(self.prefix, self.stops[count - 1])
        self.time = max(self.time, *self.times[:count])
        for values in self._lists:
            del values[:count]

    def forgive(self, before: float) -> None:
        """What is missing since then or longer is not waited for any more."""
        count = 0
        while count < len(self.since) and self.since[count] <= before:
            count += 1
        if count:
            self._join(count)

    def to_value(self) -> list[Any]:
        kept = slice(0, _KEPT_GAPS)
        return [self.prefix, self.time, self.starts[kept], self.stops[kept], self.times[kept]]

    @classmethod
    def from_value(cls, value: Any, now: float) -> Origin:
        prefix, time, starts, stops, times = value
        return cls(prefix, time, list(starts), list(stops), list(times), [now] * len(starts), now)


class Progress:
    """The origins of one replica's messages."""

    def __init__(self, lateness: float, patience: float, idle: float | None, *, returning: float = -math.inf) -> None:
        """Until `returning`, on the clock, nothing is forgiven: what a process held that died comes once more."""
        self._returning = returning
        self._lateness = lateness
        self._patience = patience
        self._idle = idle
        self._origins: dict[tuple[int, str], Origin] = {}
        self._epochs: dict[tuple[int, str], int] = {}
        self._places: dict[tuple[int, Series], tuple[Origin, int | None] | None] = {}
        self._expected: set[tuple[int, str]] = set()
        self._begun = -math.inf
        self.ended: set[str] = set()
        """The sources of which nothing comes any more."""
        self.watermark = -math.inf

    def expect(self, origins: Iterable[tuple[int, str]], now: float) -> None:
        """Something will come on these edges from these sources, if they are not silent: for a while it is waited."""
        self._begun = now
        self._expected = set(origins)

    def add(self, edge: int, series: Series, number: int, time: float, now: float) -> None:
        """A message has come."""
        try:
            place = self._places[edge, series]
        except KeyError:
            place = self._place(edge, series)
        if place is not None:
            place[0].add(number if place[1] is None else place[1], time, now)

    def _place(self, edge: int, series: Series) -> tuple[Origin, int | None] | None:
        """The origin of a series on an edge, and its position there, unless that is the number of each message."""
        source, position = origin(series)
        root = _root(source)
        found: tuple[Origin, int | None] | None = None
        if root is not None and position != -1:
            name, epoch = root
            key = edge, name
            self._expected.discard(key)
            if epoch > self._epochs.get(key, -1):
                # it begins anew: what it had sent before counts for nothing now, but the watermark stays
                self._epochs[key] = epoch
                self._origins[key] = Origin()
                self._places.clear()
            if epoch == self._epochs[key]:
                found = self._origins[key], position
        if len(self._places) > 10_000:
            self._places.clear()
        self._places[edge, series] = found
        return found

    def advance(self, now: float) -> float:
        """The watermark as it is now."""
        if self._expected and not self._all_have_come(now):
            return self.watermark
        times = []
        for (_, name), one in self._origins.items():
            if one.since and now >= self._returning:
                one.forgive(now - self._patience)
            if name not in self.ended and (self._idle is None or now - one.heard < self._idle):
                times.append(one.time)
        if not times and self._origins:
            times = [max(one.time for one in self._origins.values())]  # nothing is to be expected of any
        self.watermark = max(self.watermark, min(times, default=-math.inf) - self._lateness)
        return self.watermark

    def _all_have_come(self, now: float) -> bool:
        """Whether no source is waited for that was not heard of so far."""
        if now - self._begun >= self._patience:
            self._expected.clear()
        return all(name in self.ended for _, name in self._expected)

    @property
    def waits(self) -> bool:
        """Whether the clock alone may move the watermark."""
        return bool(self._expected) or self._idle is not None or any(one.since for one in self._origins.values())

    def to_value(self) -> list[Any]:
        origins = [
            [edge, name, self._epochs[edge, name], one.to_value()] for (edge, name), one in self._origins.items()
        ]
        return [self.watermark, origins]

    def read(self, value: Any, now: float) -> None:
        self.watermark, origins = value
        for edge, name, epoch, one in origins:
            self._epochs[edge, name] = epoch
            self._expected.discard((edge, name))
            self._origins[edge, name] = Origin.from_value(one, now)


def _root(source: str) -> tuple[str, int] | None:
    """The name of what counts its messages up, and its epoch; None for what a trigger or the end of a stream has made.

    Dead letters that were sent again count for nothing here: they are late whatever happens.
    """
    if "!" in source:
        return None
    name, *more = source.split("~")
    if len(more) == 2 and more[1] == "windows":
        return source, 0
    if all(part.isdecimal() and len(part) < len(str(MOST)) for part in more) and len(more) <= 2:
        return f"{name}~{more[0] if more else 0}", int(more[1]) if len(more) == 2 else 0
    return None

"""What a replica says of itself: its numbers, a few times a second, and what went wrong; and its log of failures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import msgpack

from interactem.runtime.failures import Failure
from interactem.runtime.statistics import Counts
from interactem.runtime.transports import Transport

REPORT_SECONDS = 0.25
EVENT_BYTES = 64_000
"""So much of events is told at once; of what is beyond, only the number."""
EVENT_KINDS = frozenset({"failure", "dead", "omitted", "shm"})
EVENT_DETAILS = ("id", "attempts", "error", "traceback", "events", "reason")
LOGGED_AT_ONCE = 3
_ANOTHER = 4.0
"""By this factor, a kernel's speed is quite another."""
LOG_SECONDS = 1.0


class Reporter:
    """Tells the engine and the operators upstream, under `numbers`; and the engine alone, under `events`.

    Each message of the latter lists, as its `events`, what happened since the one before it. `look` is called before
    the numbers are told, to bring them up to date.
    """

    def __init__(self, transport: Transport, numbers: str, events: str, counts: Counts) -> None:
        self.counts = counts
        self.look: Callable[[], None] = lambda: None
        self._transport = transport
        self._numbers_subject = numbers
        self._events_subject = events
        self._reported = 0.0
        self._told_kernel = 0.0
        self._events: list[dict[str, Any]] = []
        self._event_bytes = 0
        self._omitted = 0

    @property
    def due(self) -> float:
        """Seconds until the next report."""
        return self._reported + REPORT_SECONDS - time.monotonic()

    def now_and_then(self) -> None:
        """Report if it is time; at once where the kernel's speed is known or quite another: batches depend on it."""
        kernel, told = self.counts.kernel, self._told_kernel
        if self.due <= 0 or kernel > _ANOTHER * told or kernel < told / _ANOTHER:
            self.report()

    def report(self) -> None:
        self._reported = time.monotonic()
        self._told_kernel = self.counts.kernel
        if self._omitted:
            self._events.append({"kind": "omitted", "events": self._omitted})
        if self._events:
            self._transport.report(self._events_subject, msgpack.packb({"events": self._events}))
            self._events = []
            self._event_bytes = self._omitted = 0
        self._tell_numbers()

    def beat(self) -> None:
        """From another thread: a call that takes long holds up `now_and_then`, and must not hide how it gets on."""
        if self.due < -REPORT_SECONDS:
            self._tell_numbers()

    def _tell_numbers(self) -> None:
        self.look()
        self._transport.report(self._numbers_subject, msgpack.packb(self.counts.to_value()))

    def event(self, kind: str, value: dict[str, Any]) -> None:
        event = {"kind": kind, **value}
        size = sum(len(item) for item in event.values() if isinstance(item, str)) + 100
        if self._event_bytes + size > EVENT_BYTES:
            self._omitted += 1
            return
        self._event_bytes += size
        self._events.append(event)


class FailureLog:
    """Logs failures with their tracebacks; of those that are alike only a few each second, and how many there were."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._since = 0.0
        self._seen: dict[tuple[str, str], int] = {}

    def log(self, what: str, failure: Failure) -> None:
        if self._clock() - self._since >= LOG_SECONDS:
            self.flush()
        kind = _kind(failure)
        seen = self._seen[kind] = self._seen.get(kind, 0) + 1
        if seen <= LOGGED_AT_ONCE:
            self._logger.warning("%s: %s", what, failure.traceback or failure.error)

    def flush(self) -> None:
        """Say how many were left out."""
        for (error, where), seen in self._seen.items():
            if seen > LOGGED_AT_ONCE:
                self._logger.warning("%d more failures like it: %s%s", seen - LOGGED_AT_ONCE, error, where)
        self._seen.clear()
        self._since = self._clock()


def _kind(failure: Failure) -> tuple[str, str]:
    """What makes failures alike: the type of the error and the line that raised it, whatever its text says."""
    places = [line.strip() for line in failure.traceback.splitlines() if line.lstrip().startswith("File ")]
    return failure.error.partition(":")[0], f" ({places[-1]})" if places else ""

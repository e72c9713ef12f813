"""Which calls of a kernel are timed one by one: all of a slow one, some of a quick one, at next to no cost.

Measuring one call takes one or two microseconds. The calls are chosen at random, one in 0.2 ms of work on average:
whatever the pattern in which calls are slow, percentiles of those that were timed are percentiles of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import random
from time import perf_counter
from typing import Any

from interactem.runtime.statistics import Counts

EVERY_SECONDS = 0.0002
_UNKNOWN = EVERY_SECONDS / 16
"""What a call may take of which nothing is known yet."""
_RISE = 1.1
"""By this factor from batch to batch calls may become slower: more of it is a machine that was busy with others."""


class Sampler:
    """Chooses calls, and records their times in `counts.kernel_times`."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._quick = 0.0
        self._last = 0.0

    def first(self, indexes: range) -> int:
        """The first call to time of these, in a batch; one of them, if it is some time since the last one."""
        kernel = self._counts.kernel
        self._quick = min(kernel, self._quick * _RISE) if self._quick else kernel
        if perf_counter() - self._last < EVERY_SECONDS:
            return self.after(indexes.start - 1)
        return indexes.start + int(random() * min(self._calls, len(indexes)))

    def after(self, index: int) -> int:
        """The next call to time, after this one."""
        calls = self._calls
        return index + 1 if calls <= 1 else index + 1 + int(random() * (2 * calls - 1))

    @property
    def _calls(self) -> float:
        """One in so many calls is timed."""
        return max(1.0, EVERY_SECONDS / (self._quick or _UNKNOWN))

    def time(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What `call` returns. Where that is a generator, the call ends with it, and only its own time counts."""
        begun = perf_counter()
        try:
            result = call(*arguments)
        except BaseException:
            self._record(perf_counter() - begun)
            raise
        seconds = perf_counter() - begun
        if isinstance(result, Iterator):
            return self._drained(result, seconds)
        self._record(seconds)
        return result

    def _drained(self, parts: Iterator[Any], seconds: float) -> Iterator[Any]:
        try:
            while True:
                begun = perf_counter()
                try:
                    part = next(parts)
                except StopIteration:
                    return
                finally:
                    seconds += perf_counter() - begun
                yield part
        finally:
            self._record(seconds)

    def _record(self, seconds: float) -> None:
        self._counts.kernel_times.record(seconds)
        self._last = perf_counter()

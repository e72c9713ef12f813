"""Which calls of a kernel are timed one by one: all of a slow one, some of a quick one, at next to no cost.

Measuring one call takes about a microsecond. The calls are chosen at random, one in 0.2 ms of work on average: whatever
the pattern in which calls are slow, percentiles of those that were timed are percentiles of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import random
from time import perf_counter
from typing import Any

from interactem.runtime.statistics import Counts

EVERY_SECONDS = 0.0002
_FIRST = EVERY_SECONDS / 16
"""What a call may take of which nothing is known yet."""


class Sampler:
    """Chooses calls, and records their times in `counts.kernel_times`."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def after(self, index: int) -> int:
        """The index of the next call to time, after this one."""
        calls = EVERY_SECONDS / (self._counts.kernel or _FIRST)
        return index + 1 if calls <= 1 else index + 1 + int(random() * (2 * calls - 1))

    def time(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What `call` returns. Where that is a generator, the call ends with it, and only its own time counts."""
        begun = perf_counter()
        try:
            result = call(*arguments)
        except BaseException:
            self._counts.kernel_times.record(perf_counter() - begun)
            raise
        seconds = perf_counter() - begun
        if isinstance(result, Iterator):
            return self._drained(result, seconds)
        self._counts.kernel_times.record(seconds)
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
            self._counts.kernel_times.record(seconds)

"""Windows: the spans of event time in which messages belong together. Pure values and arithmetic.

All times are in seconds since 1970 (UTC). A window holds its start and not its end. Fixed and sliding windows begin at
multiples of their length, counted from 1970, so that whoever computes them comes to the same ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from interactem.runtime.errors import KernelError

__all__ = ["Every", "Fixed", "Session", "Sliding", "Window", "Windows"]


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A span of event time, in seconds since 1970 (UTC): `start` belongs to it, `end` does not.

    That of the whole stream is from -inf to inf.
    """

    start: float = -math.inf
    end: float = math.inf


@dataclass(frozen=True, slots=True)
class Fixed:
    """Windows of `seconds` each, one after the other."""

    seconds: float

    def __post_init__(self) -> None:
        _check_positive("Fixed", seconds=self.seconds)

    def windows(self, time: float) -> list[Window]:
        return _aligned(time, self.seconds, self.seconds)


@dataclass(frozen=True, slots=True)
class Sliding:
    """Windows of `size` seconds, of which one begins `every` so many seconds: they overlap where `every` is less."""

    size: float
    every: float

    def __post_init__(self) -> None:
        _check_positive("Sliding", size=self.size, every=self.every)
        if self.size / self.every > _MOST_WINDOWS:
            raise KernelError(
                f"Sliding: a message would be in {self.size / self.every:.0f} windows; make `every` larger"
            )

    def windows(self, time: float) -> list[Window]:
        return _aligned(time, self.size, self.every)


@dataclass(frozen=True, slots=True)
class Session:
    """Windows of a key's own: messages less than `gap` seconds apart are in one, which ends `gap` after its last."""

    gap: float

    def __post_init__(self) -> None:
        _check_positive("Session", gap=self.gap)

    def windows(self, time: float) -> list[Window]:
        """Of a message alone; those that overlap are one."""
        return [Window(time, time + self.gap)]


Windows = Fixed | Sliding | Session

_MOST_WINDOWS = 10_000


@dataclass(frozen=True, slots=True)
class Every:
    """How often what a window has come to so far is told: after so many more messages, or `seconds` on the clock."""

    count: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.count is None and self.seconds is None:
            raise KernelError("Every: give count, seconds or both")
        if self.count is not None and (type(self.count) is not int or self.count < 1):
            raise KernelError(f"Every: count is a whole number from 1, not {self.count!r}")
        if self.seconds is not None:
            _check_positive("Every", seconds=self.seconds)


def _check_positive(what: str, **given: float) -> None:
    for name, value in given.items():
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise KernelError(f"{what}: {name} is a number of seconds above 0, not {value!r}")


WHOLE = Window()
"""The window of the whole stream."""


def _aligned(time: float, size: float, every: float) -> list[Window]:
    """The windows that `time` is in, by their start."""
    number = math.floor(time / every)
    # a quotient may be rounded up, or down
    while number * every > time:
        number -= 1
    while (number + 1) * every <= time:
        number += 1
    found = []
    while (end := _end(number, size, every)) > time:
        found.append(Window(float(number * every), float(end)))
        number -= 1
    return found[::-1]


def _end(number: int, size: float, every: float) -> float:
    """Where windows do not overlap, one ends with exactly the number that the next one begins with."""
    return (number + 1) * every if size == every else number * every + size

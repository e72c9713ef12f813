"""A clock that stands still until a test moves it."""

from __future__ import annotations


class Clock:
    """Calling it gives its time, in seconds since 1970."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Let so much time pass; what time it is then. Raises `ValueError` for less than none."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back, by {-seconds:g} s")
        self.now += seconds
        return self.now

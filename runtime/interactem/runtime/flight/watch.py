"""How long a call takes, without the time in which it stands because others are slower."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Watch"]


class Watch:
    """`begun` is when the call began, later by as long as it has stood; 0 while it does not go on."""

    __slots__ = ("begun",)

    def __init__(self) -> None:
        self.begun = 0.0

    def start(self) -> None:
        self.begun = time.perf_counter()

    def stop(self) -> float:
        """The seconds that it took."""
        seconds = self.seconds
        self.begun = 0.0
        return seconds

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.begun if self.begun else 0.0

    @contextmanager
    def standing(self) -> Iterator[None]:
        seconds = self.stop()
        try:
            yield
        finally:
            self.begun = time.perf_counter() - seconds

"""How far a run has come: numbers for people, for the page and for the summary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_SUMMED = ("received", "sent", "retried", "dead")


@dataclass(slots=True)
class OperatorProgress:
    """One operator's numbers; `rate` is in messages per second: those received, or sent by a source."""

    name: str
    replicas: int
    running: int = 0
    received: int = 0
    sent: int = 0
    rate: float = 0.0
    waiting: int = 0
    retried: int = 0
    dead: int = 0
    restarts: int = 0
    state: str = "starting"


@dataclass(slots=True)
class Tally:
    """Adds up what the incarnations of an operator's replicas say of themselves."""

    past: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMMED, 0))
    current: dict[int, dict[str, Any]] = field(default_factory=dict)

    def hear(self, replica: int, counts: dict[str, Any]) -> None:
        self.current[replica] = counts

    def close(self, replica: int) -> None:
        """The incarnation is over: what it has said last stays."""
        counts = self.current.pop(replica, {})
        for name in _SUMMED:
            self.past[name] += int(counts.get(name, 0))

    def total(self, name: str) -> int:
        return self.past[name] + sum(int(counts.get(name, 0)) for counts in self.current.values())

    def progress_of(self, replica: int) -> int:
        """Grows when the replica gets on with its work."""
        counts = self.current.get(replica, {})
        return sum(int(counts.get(name, 0)) for name in _SUMMED)


class Rate:
    """A rate over the last few seconds."""

    def __init__(self, seconds: float = 2.0) -> None:
        self._seconds = seconds
        self._points: list[tuple[float, int]] = []

    def at(self, time: float, count: int) -> float:
        self._points.append((time, count))
        while len(self._points) > 2 and time - self._points[1][0] >= self._seconds:
            del self._points[0]
        (begun, first), (now, last) = self._points[0], self._points[-1]
        return (last - first) / (now - begun) if now > begun else 0.0

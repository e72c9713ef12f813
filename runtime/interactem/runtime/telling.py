"""What an operator's author tells of it: counters, gauges, how far it has come, and a word on what it is at."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from typing import Any

MOST_NAMES = 64
"""So many counters, and as many gauges, an operator may have: each is told of each replica, several times a second."""
STATUS_LENGTH = 500
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}")


class Telling:
    """The author's numbers of one replica. May be used from any thread. It starts anew with each start of the replica.

    Wrong names and values raise `ValueError`, values that are no numbers `TypeError`.
    """

    def __init__(self) -> None:
        self.counters: dict[str, float] = {}
        self.gauges: dict[str, float] = {}
        self.progress: float | None = None
        self.status = ""
        self._lock = threading.Lock()

    def count(self, name: str, amount: float) -> None:
        if _number(name, amount) < 0:
            raise ValueError(f"the counter {name!r} can only grow, and {amount!r} is below 0: use a gauge")
        with self._lock:
            self.counters[_room(name, self.counters)] = self.counters.get(name, 0) + amount

    def set(self, name: str, value: float) -> None:
        number = _number(name, value)
        with self._lock:
            self.gauges[_room(name, self.gauges)] = number

    def come_to(self, percent: float) -> None:
        self.progress = max(0.0, min(100.0, _number("progress", percent)))

    def say(self, text: str) -> None:
        self.status = str(text)[:STATUS_LENGTH]

    def to_value(self) -> dict[str, Any]:
        with self._lock:
            counters, gauges = dict(self.counters), dict(self.gauges)
        return {"counters": counters, "gauges": gauges, "progress": self.progress, "status": self.status}


def _number(name: str, value: float) -> float:
    if isinstance(value, str | bytes):
        raise TypeError(f"{name} takes a number, not {value!r}")
    number = float(value)  # of numpy's numbers too
    if not math.isfinite(number):
        raise ValueError(f"{name} takes a finite number, not {value!r}")
    return int(number) if number.is_integer() else number


def is_name(name: object) -> bool:
    """Whether a counter or gauge may be called so."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _room(name: str, names: Mapping[str, float]) -> str:
    if name not in names:
        if not is_name(name):
            raise ValueError(f"{name!r} is no name for a number: use letters, digits and _, at most 63 of them")
        if len(names) >= MOST_NAMES:
            raise ValueError(f"{name!r} is one too many: an operator has at most {MOST_NAMES} of them")
    return name

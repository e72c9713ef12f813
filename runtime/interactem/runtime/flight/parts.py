"""What a generator yields in a call that others go on beside: taken from it as it comes, and never much ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from interactem.runtime.messages import BytesMessage

__all__ = ["Parts"]

MOST_PARTS = 64
MOST_BYTES = 2**20
"""With so much of it not taken, a generator stands, so that it is never gathered as a whole."""


class Parts:
    """Of one call. Whoever calls the kernel uses `add`, `when_room` and `ended`, and the replica's thread the rest.

    `tell` is called, by whoever adds, when there is something after there was nothing.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self.ended = False
        """Whether nothing more is wanted of this call."""
        self._tell = tell
        self._parts: list[Any] = []
        self._weight = 0
        self._lock = threading.Lock()
        self._go_on: Callable[[], object] | None = None

    def add(self, part: Any) -> bool:
        """Whether there is room for more."""
        with self._lock:
            first = not self._parts
            self._parts.append(part)
            self._weight += _weight_of(part)
        if first:
            self._tell()
        return not self._is_full

    def when_room(self, go_on: Callable[[], object]) -> None:
        """Have this called, from any thread, once there is room, or nothing more is wanted."""
        with self._lock:
            if self._is_full and not self.ended:
                self._go_on = go_on
                return
        go_on()

    def take(self) -> list[Any]:
        """What there is."""
        with self._lock:
            parts, self._parts, self._weight = self._parts, [], 0
            go_on, self._go_on = self._go_on, None
        if go_on is not None:
            go_on()
        return parts

    def end(self) -> None:
        """Whoever adds something hears that nothing more is wanted."""
        self.ended = True
        self.take()

    @property
    def _is_full(self) -> bool:
        return len(self._parts) >= MOST_PARTS or self._weight >= MOST_BYTES


def _weight_of(part: Any) -> int:
    if isinstance(part, BytesMessage):
        return memoryview(part.data).nbytes
    return sum(map(_weight_of, part)) if isinstance(part, list | tuple) else 0

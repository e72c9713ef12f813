"""Order: what has landed leaves in the order in which it came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interactem.runtime.flight.items import Item

__all__ = ["Order"]


class Order:
    """Holds back what has landed before something that came earlier. `next` is the place that leaves next."""

    def __init__(self) -> None:
        self.next = 0
        self._landed: dict[int, tuple[Item | None, Any]] = {}

    def land(self, item: Item, outcome: Any) -> None:
        self._landed[item.place] = item, outcome

    def skip(self, place: int) -> None:
        """Nothing leaves from there."""
        self._landed[place] = None, None

    def back(self, pairs: Iterable[tuple[Item, Any]], place: int) -> None:
        """These were about to leave, and one at `place` before them cannot yet. Nothing else has left since."""
        for other in range(place + 1, self.next):
            self.skip(other)
        for item, outcome in pairs:
            self.land(item, outcome)
        self.next = place

    def rest(self) -> list[tuple[Item, Any]]:
        """What has landed, whatever is missing before it."""
        found = [pair for _, pair in sorted(self._landed.items())]
        self._landed.clear()
        return [(item, outcome) for item, outcome in found if item is not None]

    def leaving(self) -> list[tuple[Item, Any]]:
        """What leaves now."""
        found: list[tuple[Item, Any]] = []
        while self.next in self._landed:
            item, outcome = self._landed.pop(self.next)
            self.next += 1
            if item is not None:
                found.append((item, outcome))
        return found

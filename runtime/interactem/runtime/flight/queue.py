"""The messages that wait for their call: who goes next, with whom, and when. Nothing here calls, sends or sleeps."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from interactem.runtime.flight.items import Item

__all__ = ["Queue"]

ENDING_WAIT = 0.01
"""How long messages wait for others where the last are on their way."""
GATHERED_BYTES = 64 * 2**20
"""With so much waiting, a batch is large enough."""


class Queue:
    """`max_size` is how many go together at most, `max_wait` how long the first of them waits for the others.

    An item that is tried `alone` goes when nothing else is in flight. `ends` says that the last
    messages are on their way.
    """

    def __init__(self, max_size: int = 1, max_wait: float = 0.0) -> None:
        self.ends = False
        self._max_size = max_size
        self._max_wait = max_wait
        self._items: deque[Item] = deque()
        self._later: list[tuple[float, int, Item]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items) + len(self._later)

    @property
    def waiting(self) -> int:
        """How many could go now, if there was room."""
        return len(self._items)

    @property
    def heavy(self) -> bool:
        return self._bytes >= GATHERED_BYTES

    def add(self, item: Item) -> None:
        self._bytes += len(item.message.data)
        self._items.append(item)

    def add_first(self, item: Item) -> None:
        """Before all that came later."""
        self._bytes += len(item.message.data)
        items = self._items
        at = next((at for at, other in enumerate(items) if other.place > item.place), len(items))
        items.insert(at, item)

    def add_later(self, item: Item, at: float) -> None:
        """Not before the time `at`, and then before all that came later."""
        heapq.heappush(self._later, (at, item.place, item))

    def first_later(self, *, alone: bool = False) -> int | None:
        """The first place of what is not tried yet, maybe only of what is tried alone then; None where nothing is."""
        return min([place for _, place, item in self._later if item.alone or not alone], default=None)

    def take(self, now: float, in_flight: int, stop: int | None = None) -> list[Item]:
        """Those that go now, together; none where it is not time. Places from `stop` on do not go."""
        self._due(now)
        items = self._items
        if not items or (stop is not None and items[0].place >= stop):
            return []
        if items[0].alone:
            return [] if in_flight else [self._pop()]
        if not self._is_full and now < self._time:
            return []
        return list(self._group(stop))

    def patience(self, now: float) -> float | None:
        """Seconds until something is to go; None where nothing is, or where it could go now."""
        times = [self._later[0][0]] if self._later else []
        if self._items and not self._items[0].alone and self._time > now:
            times.append(self._time)
        return max(0.0, min(times) - now) if times else None

    @property
    def _is_full(self) -> bool:
        return len(self._items) >= self._max_size or self.heavy

    @property
    def _time(self) -> float:
        """When the first one has waited long enough."""
        return self._items[0].arrived + (min(self._max_wait, ENDING_WAIT) if self.ends else self._max_wait)

    def _due(self, now: float) -> None:
        due = []
        while self._later and self._later[0][0] <= now:
            due.append(heapq.heappop(self._later)[2])
        for item in reversed(due):
            self.add_first(item)

    def _group(self, stop: int | None) -> Iterator[Item]:
        items = self._items
        for _ in range(self._max_size):
            if not items or items[0].alone or (stop is not None and items[0].place >= stop):
                return
            yield self._pop()

    def _pop(self) -> Item:
        item = self._items.popleft()
        self._bytes -= len(item.message.data)
        return item

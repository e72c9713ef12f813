"""Which messages lie in which open window: assignment, merging and closing. Pure values; messages are numbers here."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

from interactem.runtime.windows import WHOLE, Fixed, Session, Sliding, Window, Windows


@dataclass(slots=True, eq=False)
class Open:
    """A window of one key that is not closed. `messages` are the numbers of those in it.

    `revision` is how often it has been told, `told` how many messages it had then; `attempts` counts the failures at
    telling it for good.
    """

    id: int
    """The number of its first message."""
    key: Any
    tag: Hashable
    window: Window
    messages: list[int] = field(default_factory=list)
    revision: int = 0
    told: int = 0
    attempts: int = 0
    alive: bool = True


class Gathering:
    """The open windows of one replica."""

    def __init__(self, windows: Windows | None) -> None:
        self._windows = windows
        self._keys: dict[Hashable, dict[Window, Open]] = {}
        self._ends: list[tuple[float, int, Open]] = []
        self._order = itertools.count()
        self._uses: dict[int, int] = {}  # of messages that are in several windows
        self.shared = isinstance(windows, Sliding) and windows.every < windows.size
        self._latest = WHOLE if windows is None else Window(0.0, 0.0)
        self._merges: Callable[[Open, Open], None] = lambda kept, gone: None

    def __len__(self) -> int:
        return sum(map(len, self._keys.values()))

    def __iter__(self) -> Iterator[Open]:
        """All open windows, in the order of their ends, and of their keys' first messages."""
        return iter(sorted(self._opens(), key=lambda one: (one.window.end, one.id)))

    def _opens(self) -> Iterator[Open]:
        return itertools.chain.from_iterable(opens.values() for opens in self._keys.values())

    def on_merge(self, told: Callable[[Open, Open], None]) -> None:
        """Have `told` called with two sessions that have become the first of them."""
        self._merges = told

    def windows_of(self, time: float) -> list[Window]:
        latest = self._latest
        if latest.start <= time < latest.end and not self.shared:
            return [latest]
        if self._windows is None:
            return [WHOLE]
        found = self._windows.windows(time)
        if type(self._windows) is Fixed:
            self._latest = found[0]
        return found

    def add(self, number: int, key: Any, tag: Hashable, time: float, watermark: float) -> list[Open]:
        """Put a message into those of its windows that are not closed. Returns them; there is none where it is late."""
        opens = self._keys.get(tag)
        if opens is None:
            opens = {}
        if type(self._windows) is Session:
            found = self._add_to_session(number, opens, key, tag, self._windows.windows(time)[0], watermark)
        else:
            found = []
            for window in self.windows_of(time):
                one = opens.get(window)
                if one is None:
                    if window.end <= watermark:
                        continue
                    one = self.open(number, key, tag, window, opens)
                found.append(one)
        if found:
            self._keys[tag] = opens
            for one in found:
                one.messages.append(number)
            if self.shared:
                self._uses[number] = len(found)
        return found

    def put(self, number: int, tag: Hashable, time: float) -> None:
        """Put a message back into those of its windows that are open."""
        opens = self._keys.get(tag, {})
        found = [opens[window] for window in self.windows_of(time) if window in opens]
        for one in found:
            one.messages.append(number)
        self._uses[number] = len(found)

    def open(self, id: int, key: Any, tag: Hashable, window: Window, opens: dict[Window, Open] | None = None) -> Open:
        if opens is None:
            opens = self._keys.setdefault(tag, {})
        one = opens[window] = Open(id, key, tag, window)
        if window.end < WHOLE.end:
            heapq.heappush(self._ends, (window.end, next(self._order), one))
        return one

    def _add_to_session(
        self, number: int, opens: dict[Window, Open], key: Any, tag: Hashable, alone: Window, watermark: float
    ) -> list[Open]:
        touched = [one for one in opens.values() if one.window.start < alone.end and alone.start < one.window.end]
        if not touched:
            return [] if alone.end <= watermark else [self.open(number, key, tag, alone, opens)]
        touched.sort(key=lambda one: one.id)
        kept, *merged = touched
        for one in merged:
            kept.messages = list(heapq.merge(kept.messages, one.messages))
            kept.revision, kept.told = max(kept.revision, one.revision), kept.told + one.told
            kept.attempts = max(kept.attempts, one.attempts)
            one.alive = False
            del opens[one.window]
            self._merges(kept, one)
        window = Window(
            min(alone.start, *(one.window.start for one in touched)),
            max(alone.end, *(one.window.end for one in touched)),
        )
        if window != kept.window:
            del opens[kept.window]
            kept.window = window
            opens[window] = kept  # its place among the ends is found when its turn would have come
        return [kept]

    def due(self, watermark: float) -> list[Open]:
        """The windows that end at the watermark or before, in the order of their ends; each is named once."""
        found: list[Open] = []
        while self._ends and self._ends[0][0] <= watermark:
            end, order, one = heapq.heappop(self._ends)
            if not one.alive:
                continue
            if one.window.end > end:
                heapq.heappush(self._ends, (one.window.end, order, one))
            else:
                found.append(one)
        return found

    def close(self, one: Open) -> list[int]:
        """The window is done with. Returns the messages that are in no other one."""
        one.alive = False
        opens = self._keys[one.tag]
        del opens[one.window]
        if not opens:
            del self._keys[one.tag]
        if not self.shared:
            return one.messages
        gone = []
        for number in one.messages:
            self._uses[number] -= 1
            if not self._uses[number]:
                del self._uses[number]
                gone.append(number)
        return gone

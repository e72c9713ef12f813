"""A reducer's windows: messages are gathered, and those of a window are given to the kernel when it is due.

What it holds is in tables, which are stored with the ids of the messages that went into them. All that is kept beside
them in memory follows from them.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from interactem.runtime.context import Context
from interactem.runtime.errors import InteractemRuntimeError, WireError
from interactem.runtime.ids import Filed, Series, file, origin, series_of, source_id, text, windows_name
from interactem.runtime.kinds.reduce.gathering import Gathering, Open
from interactem.runtime.kinds.reduce.keys import tagged
from interactem.runtime.kinds.reduce.progress import Progress
from interactem.runtime.kinds.reduce.reduction import Given, Reduction
from interactem.runtime.messages import BytesMessage, MessageHeader
from interactem.runtime.statistics import LATE
from interactem.runtime.tables import Table
from interactem.runtime.windows import WHOLE, Window
from interactem.runtime.wire import packed_with

Entry = tuple[str, int, str, str, int, float, bytes, bytes, bytes]
"""A message as it is kept: port, edge, its id as prefix, suffix and number, event time, meta, tracking, data."""


@dataclass(frozen=True, slots=True)
class Due:
    """A window that is to be told, with its first `count` messages; for good if `final`."""

    window: Open
    count: int
    final: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A message that a window holds."""

    edge: int
    id: Filed
    message: BytesMessage


class Reducer:
    """The windows of one replica. `edges` has the edge behind each input port, `origins` who sends on them."""

    def __init__(
        self,
        reduction: Reduction,
        context: Context,
        edges: Mapping[str | None, int],
        clock: Callable[[], float],
        origins: Sequence[tuple[int, str]] = (),
    ) -> None:
        self._reduction = reduction
        self._context = context
        self._edges = edges
        self._clock = clock
        self._origins = origins
        self._messages: Table[int] = context._tables.table("reduce:messages")
        self._opens: Table[bytes] = context._tables.table("reduce:windows")
        self._numbers: Table[bytes] = context._tables.table("reduce:numbers")
        self._series = source_id(windows_name(context.operator, context.replica), 0).series
        self._time = reduction.time
        self._returning = -math.inf
        self._read()

    def expect_again(self, seconds: float) -> None:
        """What an earlier process held when it died may take so long to come once more, behind what is newer."""
        self._returning = self._clock() + seconds

    def _read(self) -> None:
        """Take up what is in the tables."""
        reduction = self._reduction
        self._progress = Progress(reduction.lateness, reduction.patience, reduction.idle, returning=self._returning)
        if reduction.windows is not None:
            self._progress.expect(self._origins, self._clock())
        self._gathering = Gathering(reduction.windows)
        self._gathering.on_merge(self._merged)
        self._order = itertools.count()
        self._again: list[tuple[float, int, Open]] = []  # that failed, by the time when they are tried again
        self._timed: list[tuple[float, int, Open]] = []  # that are told before they end, by the time when they are
        self._planned: set[Open] = set()  # these
        self._counted: deque[tuple[Open, int]] = deque()  # that are told now, with so many messages
        self._come = False
        numbers, messages = self._numbers.values, self._messages.values
        self._next = max(messages, default=0) + 1
        self._sent: int = numbers.get(b"sent", 0)
        if b"progress" in numbers:
            self._progress.read(numbers[b"progress"], self._clock())
        self._stored = self._progress.watermark
        if self._gathering.shared:
            for name in self._opens.values:
                id, start = msgpack.unpackb(name)
                self._open_again(id, start, self._opens.values[name])
        for number in sorted(messages):
            self._gather_again(number, messages[number])
        if not self._gathering.shared:
            self._know_again()
        for one in self._gathering:
            self._plan_again(one)

    def _open_again(self, id: int, start: float, value: Any) -> None:
        end, revision, told, attempts = value
        key = self._reduction.key(self.held(id).message)
        one = self._gathering.open(id, key, tagged(key), Window(start, end))
        one.revision, one.told, one.attempts = revision, told, attempts

    def _gather_again(self, number: int, entry: Entry) -> None:
        key = self._reduction.key(self.held(number).message)
        if self._gathering.shared:
            self._gathering.put(number, tagged(key), entry[5])
        else:
            self._gathering.add(number, key, tagged(key), entry[5], -math.inf)

    def _know_again(self) -> None:
        """What windows have been told, by their first messages."""
        told = {msgpack.unpackb(name)[0]: value for name, value in self._opens.values.items()}
        for one in self._gathering:
            if one.id in told:
                _, one.revision, one.told, one.attempts = told[one.id]

    def _plan_again(self, one: Open) -> None:
        """What was to be told early, and was not."""
        early = self._reduction.early
        if early is not None and early.count is not None:
            for count in range(one.told - one.told % early.count, len(one.messages) + 1, early.count):
                self._counted.append((one, count))
        if len(one.messages) > one.told:
            self._plan_timed(one)

    # messages

    def add(self, message: BytesMessage) -> BytesMessage | None:
        """Gather a message. Returns it where it is late and somebody wants it.

        Whatever it raises, nothing has changed: `EventTimeError`, `UnhashableKeyError`, what the author's functions do.
        """
        id, header = message._id, message._header  # what is looked at is unpacked
        series, position = id if isinstance(id, tuple) else file(message.id or "")
        key = self._reduction.key(message)
        tag = tagged(key)
        time = WHOLE.start if self._time is None else self._time(message)
        now = self._clock()
        edge = self._edges[message.port]
        anew = "!" in series.prefix  # a dead letter that was sent again is never late
        number = self._next
        touched = self._gathering.add(number, key, tag, time, -math.inf if anew else self._progress.watermark)
        if not anew and self._time is not None:
            self._come = True
            self._progress.add(edge, series, position, time, now)
        if not touched:
            return self._late(message)
        self._next += 1
        meta, tracking = header if isinstance(header, tuple) else packed_with(message, series, position, None, b"")[2:4]
        self._messages.put(
            number,
            (message.port or "", edge, series[0], series[1], position, time, meta, tracking, bytes(message.data)),
        )
        for one in touched:
            if self._gathering.shared and len(one.messages) == 1:
                self._note(one)
            if self._reduction.early is not None:
                self._plan_early(one)
        return None

    def _late(self, message: BytesMessage) -> BytesMessage | None:
        self._context.counter(LATE)
        return None if self._reduction.late is None else message.to(self._reduction.late)

    def _plan_early(self, one: Open) -> None:
        """Something has come for a window: have it told before it ends."""
        early, count = self._reduction.early, len(one.messages)
        if early is not None and early.count is not None and count % early.count == 0:
            self._counted.append((one, count))
        self._plan_timed(one)

    def _plan_timed(self, one: Open) -> None:
        early = self._reduction.early
        if early is not None and early.seconds is not None and one not in self._planned:
            self._planned.add(one)
            heapq.heappush(self._timed, (self._clock() + early.seconds, next(self._order), one))

    # windows

    def due(self) -> Iterator[Due]:
        """The windows that are to be told now. What comes of each is to be said before the next one is asked for."""
        while self._counted:
            one, count = self._counted.popleft()
            if one.alive and count > one.told:
                yield Due(one, count, False)
        now = self._clock()
        for one in self._gathering.due(self._progress.advance(now)):
            yield Due(one, len(one.messages), True)
        while self._again and self._again[0][0] <= now:
            one = heapq.heappop(self._again)[2]
            if one.alive:
                yield Due(one, len(one.messages), True)
        while self._timed and self._timed[0][0] <= now:
            one = heapq.heappop(self._timed)[2]
            self._planned.discard(one)
            if one.alive and len(one.messages) > one.told:
                yield Due(one, len(one.messages), False)

    def hear_ended(self, sources: set[str]) -> None:
        """Nothing comes of these sources any more."""
        self._progress.ended = sources

    def last(self, *, drained: bool) -> Iterator[Due]:
        """What is to be told at the end of the stream; where it was only drained, what windows have come to so far."""
        if drained:
            yield from self.so_far()
            return
        for one in self._gathering:
            yield Due(one, len(one.messages), True)

    def so_far(self) -> Iterator[Due]:
        """What windows have come to in which something is new; nothing where nothing is told early."""
        for one in self._gathering if self._reduction.early is not None else ():
            if len(one.messages) > one.told:
                yield Due(one, len(one.messages), False)

    @property
    def open(self) -> int:
        """How many windows are open."""
        return len(self._gathering)

    @property
    def patience(self) -> float | None:
        """Seconds until there may be something to do without a message; None where there is nothing."""
        times = [heap[0][0] for heap in (self._again, self._timed) if heap]
        if len(self._gathering) and self._progress.waits:
            times.append(self._clock() + 0.25)
        return None if not times else max(0.0, min(times) - self._clock())

    def given(self, due: Due, numbers: Iterable[int]) -> Given:
        """What the kernel is called with: the messages of these numbers."""
        return Given(due.window.key, (self.held(number).message for number in numbers), due.window.window)

    def in_order(self, due: Due) -> list[int]:
        """The numbers of a window's messages, in the order of event times and places in sources, however they came."""
        return sorted(due.window.messages[: due.count], key=self._place)

    def _place(self, number: int) -> tuple[float, str, int, int, str, int]:
        _, edge, prefix, suffix, position, time, *_ = self._messages.values[number]
        source, begun = origin(Series(prefix, suffix, 0))
        return time, source, position if begun is None else begun, edge, suffix, position

    def held(self, number: int) -> Held:
        """The message of this number."""
        port, edge, prefix, suffix, position, _, meta, tracking, data = self._messages.values[number]
        message = BytesMessage(data=data, port=port or None)
        message._header = (meta, tracking)
        message._id = filed = Filed(series_of(prefix, suffix), position)
        return Held(edge, filed, message)

    def name_of(self, due: Due, first: int) -> Filed:
        """What tells a window from others, by the number of its first message, also in the process after this one."""
        window = due.window.window
        told = "" if due.final else f", its first {due.count}"
        return file(f"{text(*self.held(first).id)} and all in its window {window.start:g} to {window.end:g}{told}")

    def named(self, due: Due, message: BytesMessage, index: int) -> tuple[BytesMessage, Filed]:
        """A result with what it says of itself, and its id."""
        if self._reduction.early is not None and isinstance(message.header.meta, dict):
            about = {"revision": due.window.revision + 1, "final": due.final}
            header = MessageHeader(message.header.subject, {**message.header.meta, **about}, message.header.tracking)
            message = BytesMessage(header, message.data, target=message.target)
        return message, Filed(self._series, self._sent + index)

    def told(self, due: Due, count: int) -> None:
        """The kernel has made `count` messages of a window, and these will be sent."""
        self._sent += count
        if count:
            self._numbers.put(b"sent", self._sent)
        if due.final:
            self.close(due.window)
            return
        due.window.revision += 1
        self.passed_over(due)

    def passed_over(self, due: Due) -> None:
        """A window is not told before more has come for it."""
        due.window.told = due.count
        self._note(due.window)

    def close(self, one: Open) -> None:
        """A window is done with."""
        self._opens.remove(self._name(one))
        for number in self._gathering.close(one):
            self._messages.remove(number)

    def failed(self, due: Due, attempts: int, delay: float) -> None:
        """The kernel has failed at a window, which is tried again after `delay` seconds."""
        due.window.attempts = attempts
        self._note(due.window)
        heapq.heappush(self._again, (self._clock() + delay, next(self._order), due.window))

    def _note(self, one: Open) -> None:
        self._opens.put(self._name(one), (one.window.end, one.revision, one.told, one.attempts))

    def _merged(self, kept: Open, gone: Open) -> None:
        """Two sessions have become one."""
        known = self._name(gone) in self._opens.values or self._name(kept) in self._opens.values
        self._opens.remove(self._name(gone))
        if known:
            self._note(kept)

    def _name(self, one: Open) -> bytes:
        packed: bytes = msgpack.packb((one.id, one.window.start if self._gathering.shared else 0.0))
        return packed

    # what is stored

    def settle(self) -> None:
        """Put into the tables what changes with every message."""
        if self._come or self._progress.watermark != self._stored:  # which the clock alone may move
            self._come = False
            self._stored = self._progress.watermark
            self._numbers.put(b"progress", self._progress.to_value())

    def forget(self) -> None:
        """The tables are what counts: they were brought back to the last checkpoint.

        Raises `WireError` where a checkpoint does not hold what a reducer stores.
        """
        try:
            self._read()
        except (LookupError, ValueError, TypeError, AttributeError, msgpack.exceptions.UnpackException) as error:
            if isinstance(error, InteractemRuntimeError):
                raise
            raise WireError(f"not a checkpoint of a reducer: {error!r:.200}") from error

    def undone(self) -> None:
        """While the kernel is called with a window, nothing changes here."""

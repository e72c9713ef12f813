"""Flights: messages of several deliveries are with the kernel at once, and leave as they land, or in their order.

The replica's thread alone touches what is stored, tried again and settled. Workers only call the kernel.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from interactem.runtime.deliveries import Deliveries
from interactem.runtime.effects import ranges
from interactem.runtime.errors import OvertakenError, StateError
from interactem.runtime.failures import Failure, is_last
from interactem.runtime.flight.items import Flight, Item, Opened, Told, Workers
from interactem.runtime.flight.order import Order
from interactem.runtime.flight.queue import Queue
from interactem.runtime.ids import NO_SERIES, Run, Series, output_id, runs_of
from interactem.runtime.kernels import Kernel
from interactem.runtime.messages import BytesMessage
from interactem.runtime.outbox import BATCH_BYTES, BATCH_MESSAGES, Sent, weight_of
from interactem.runtime.transports import Delivery

__all__ = ["Flights"]

_LONGEST_WAIT = 0.2
_GONE = BytesMessage()
_AHEAD = 4
"""In order, so many times as many messages as are in flight may have landed before one that has not."""


class Flights(Deliveries):
    """Takes deliveries, and gives what is in them to the kernel, several messages at once. `prepare` comes first."""

    def prepare(
        self,
        kernel: Kernel,
        workers: Callable[[Callable[[Flight], None]], Workers],
        log: Callable[[str, Failure], None],
        limit: float,
        arm: Callable[[float], None],
    ) -> None:
        """`limit` is how long a flight may take until the process is ended, by `arm`; 0 is for ever."""
        batching, stages = kernel.batching, kernel.stages
        size = 1 if batching is None else batching.max_size
        self._queue = Queue() if batching is None else Queue(size, batching.max_wait)
        self._most = size * (kernel.mode.width if stages is None else stages.most)
        self._workers = workers(self._land)
        self._log = log
        self._limit, self._arm = limit, arm
        self._order = Order() if kernel.mode.ordered else None
        self._width = kernel.mode.width if stages is None else stages.most
        self._context.concurrent = str(kernel.mode) or f"@operator.{kernel.kind}"
        self._places = 0
        self._flying: list[Flight] = []
        self._keys: dict[tuple[Any, ...], _Copies] = {}  # of what has not had its effect yet
        self._opened: dict[int, Opened] = {}
        self._landed: deque[Flight] = deque()
        self._event = threading.Event()
        self._receiving = False
        self._of = NO_SERIES, -1
        self._made_in = NO_SERIES  # what is made from messages of the series and edge `_of`

    def start(self) -> None:
        """Once the kernel's dependencies are there. Raises `SetUpError`."""
        self._workers.start()

    def close(self) -> None:
        self._workers.close()

    def consume(self, patience: Callable[[], float], between: Callable[[], None]) -> None:
        """Until the stream ends, or we are to. `between` does what else there is, about every `patience` seconds."""
        hearing = self._hearing
        while not hearing.stopped and not (hearing.ending and not self._busy):
            self._wait(patience())
            self._take_landed()
            if not (hearing.pokes and self._flying):  # a trigger is a call between two others
                between()
                self._begin_flights()
        while self._flying:  # what was begun has its effect, and that is noted
            self._wait(_LONGEST_WAIT)
            self._take_landed()
        if self._order is not None and self._effects.active:
            self._leave(deque(self._order.rest()))

    @property
    def _busy(self) -> bool:
        return bool(self._flying or self._landed or len(self._queue))

    # waiting

    def _land(self, flight: Flight) -> None:
        """From any thread."""
        self._landed.append(flight)
        self._event.set()
        if self._receiving:
            self._receiving = False
            self._transport.wake()

    def _wait(self, patience: float) -> None:
        """Until something has landed or come, or it is time for something."""
        now = time.monotonic()
        due = self._queue.patience(now) if self._workers.room > 0 else None
        seconds = min(patience, _LONGEST_WAIT) if due is None else min(patience, due)
        limited = bool(self._limit and self._flying)
        if limited:  # should a kernel keep the interpreter to itself, the process ends nevertheless
            self._arm(self._limit + 2.0)
        if self._wants:
            self._receive(seconds)
        elif not self._landed:
            self._event.wait(seconds)
            self._event.clear()
        if limited:
            self._arm(0)
            self._check_limits()

    @property
    def _wants(self) -> bool:
        """Whether there is room for another delivery."""
        return not self._hearing.stopped and self._queue.waiting < 2 * self._most and not self._queue.heavy

    def _receive(self, seconds: float) -> None:
        self._receiving = True
        delivery = self._hearing.receive(0.0 if self._landed else seconds)
        self._receiving = False
        if delivery is not None:
            self.take(delivery)

    def _check_limits(self) -> None:
        """End the process where a call takes too long: the message that it has is the one to blame."""
        now = time.perf_counter()
        for flight in self._flying:
            begun = flight.begun
            if begun and now - begun > self._limit:
                self._name([flight])
                self._arm(0.001)
                time.sleep(_LONGEST_WAIT)

    # what comes

    def take(self, delivery: Delivery) -> None:
        batch = self._open(delivery)
        if batch is None:
            return
        self._count(batch)
        now = time.monotonic()
        wanted = [index for indexes in self._effects.unseen(batch) for index in indexes]
        opened = Opened(batch, len(wanted))
        self._opened[id(opened)] = opened
        self._leases = [*self._leases, *batch.leases]
        first = self._places
        self._places += len(wanted)
        for place, index in enumerate(wanted, first):
            item = Item(opened, index, batch.messages[index], place, now, batch.failed, batch.alone)
            if self._hearing.crashes and self._has_crashed(item):
                continue
            self._queue.add(item)
        self._settle_done([opened])

    def _has_crashed(self, item: Item) -> bool:
        """Whether an attempt at it has ended the process; what follows from that is done."""
        batch = item.opened.batch
        crash = self._crash_of(batch, item.index)
        if crash is None:
            return False
        key = item.edge, batch.id(item.index)
        together = key in self._hearing.together
        if together and batch.alone:
            return False  # that is why it is tried alone
        del self._hearing.crashes[key]
        again = self._fail(item, crash.shared(self._assignment.max_attempts) if together else crash, alone=together)
        if self._order is not None and not again:
            self._order.skip(item.place)
        return True

    # what goes

    def _begin_flights(self) -> None:
        hearing, queue = self._hearing, self._queue
        queue.ends = hearing.told_to_finish or hearing.closed
        flights: list[Flight] = []
        stop = None if self._order is None else self._order.next + _AHEAD * self._most
        room = self._workers.room
        while len(flights) < room and not hearing.stopped and not hearing.pokes:
            if any(flight.items[0].alone for flight in (*self._flying, *flights)):
                break
            group = queue.take(time.monotonic(), len(self._flying) + len(flights), stop)
            if not group:
                break
            if group := self._fresh(group):
                flights.append(Flight(group, dict(hearing.parameters), calls=_calls(group)))
        if not flights:
            return
        self._flying += flights
        self._name(self._flying)
        for flight in flights:
            self._workers.begin(flight)

    def _fresh(self, group: list[Item]) -> list[Item]:
        """Those that nobody has done, nor is doing: what has an effect must not have it twice."""
        if not self._effects.active:
            return group
        fresh: list[Item] = []
        done: list[Item] = []
        applied = self._effects.checkpoint.applied
        for item in group:
            key = item.key
            copies = self._keys.get(key)
            if copies is not None and copies.first is not item:
                copies.others.append(item)
            elif applied.seen(*key):
                done.append(item)
            else:
                self._keys[key] = copies or _Copies(item)
                fresh.append(item)
        for item in done:
            if self._order is not None:
                self._order.skip(item.place)
            item.opened.left -= 1
        self._settle_done([item.opened for item in done])
        return fresh

    def _has_left(self, item: Item) -> None:
        """It has had its effect, or will be tried by whoever gets it: copies of it need not wait for it."""
        if self._effects.active:
            copies = self._keys.pop(item.key, None)
            for copy in reversed(copies.others if copies is not None else []):
                self._queue.add_first(copy)

    def _name(self, flights: Sequence[Flight]) -> None:
        """Should the process die now, this is what it died with."""
        self._slot.fly([call for flight in flights for call in flight.calls])

    # what lands

    def _take_landed(self) -> None:
        pairs: deque[tuple[Item, Any]] = deque()
        landed = len(self._landed)
        for _ in range(landed):
            self._take_one(self._landed.popleft(), pairs)
        if landed:
            self._name(self._flying)
        if self._order is not None:
            pairs.extend(self._order.leaving())
        if pairs:
            self._leave(pairs)

    def _take_one(self, flight: Flight, pairs: deque[tuple[Item, Any]]) -> None:
        if flight.fatal is not None:
            self._name([flight])
            raise flight.fatal
        self._flying.remove(flight)
        self._counts.kernel_times.record(flight.seconds)
        self._counts.timed(len(flight.items), flight.seconds / self._width)
        pairs += self._sorted(flight)
        flight.items, flight.outcomes = [], []  # nobody looks at what was in shared memory

    def _sorted(self, flight: Flight) -> list[tuple[Item, Any]]:
        """The items of a flight with what has come of them; in order, they are put where they belong, or go again."""
        found: list[tuple[Item, Any]] = []
        for item, outcome in zip(flight.items, flight.outcomes, strict=True):
            if isinstance(outcome, StateError):
                raise outcome
            made = self._checked(outcome)
            if isinstance(made, (Exception, Told)):
                failure = self._failure(item, made)
                if flight.shared:
                    failure = failure.shared(self._assignment.max_attempts)
                made = _Failed(failure, flight.shared)
            if self._order is None:
                found.append((item, made))
            elif not isinstance(made, _Failed) or not self._goes_again(item, made):
                self._order.land(item, made)
        return found

    def _checked(self, outcome: Any) -> Any:
        """The messages in what was made of one message, or the exception that says that they are none."""
        if type(outcome) is BytesMessage and outcome.target is None:
            return [outcome]
        if isinstance(outcome, (Exception, Told)):
            return outcome
        try:
            return self._caller.checked(outcome)
        except Exception as error:
            return error

    def _failure(self, item: Item, error: Exception | Told) -> Failure:
        hide = self._context.mask.text
        if isinstance(error, Told):
            return error.failure(item.failed + 1, hide)
        return Failure.of(error, item.failed + 1, hide)

    def _goes_again(self, item: Item, failed: _Failed) -> bool:
        """In order: whether it is tried again, in its place. What came later waits for it."""
        failure = failed.failure
        if is_last(failure.attempts, self._assignment.max_attempts):
            return False
        batch = item.opened.batch
        self._log(f"message {batch.id(item.index)}", failure)
        delay = self._retries.in_its_place(batch, item.index, failure)
        self._again(item, failure, failed.alone, time.monotonic() + delay)
        return True

    def _again(self, item: Item, failure: Failure, alone: bool, at: float) -> None:
        item.failed, item.alone = failure.attempts, item.alone or alone
        item.message = item.opened.batch.fresh()[item.index]
        self._queue.add_later(item, at)

    # what leaves

    def _leave(self, pairs: deque[tuple[Item, Any]]) -> None:
        """These are done with: what was made of them is sent, or kept until the next checkpoint."""
        made: list[Sent] = []
        done: list[Item] = []
        weight = 0
        while pairs:
            item, outcome = pairs.popleft()
            if not isinstance(outcome, _Failed):
                outcome, added = self._pack(made, item, outcome)
                weight += added
            item.message = _GONE
            if isinstance(outcome, _Failed):
                self._finish(made, done)
                if self._fail(item, outcome.failure, alone=outcome.alone) and self._order is not None:
                    self._order.back(pairs, item.place)
                    return
            else:
                done.append(item)
            if len(made) >= BATCH_MESSAGES or weight > BATCH_BYTES:
                outcome, weight = None, 0
                self._finish(made, done)
        outcome = None
        self._finish(made, done)

    def _pack(self, made: list[Sent], item: Item, messages: list[BytesMessage]) -> tuple[_Failed | None, int]:
        """Add what was made of one message to `made`, all of it or none; and its weight."""
        (series, number), edge, begun, weight = item.opened.batch.ids[item.index], item.edge, len(made), 0
        try:
            if messages:
                if (series, edge) != self._of:
                    self._of, self._made_in = (series, edge), output_id(series, number, edge, 0).series
                weight = self._packing.pack_into(made, messages[0], self._made_in, number, item.message)
            for count, message in enumerate(messages[1:], 1):
                weight += self._packing.pack_into(made, message, *output_id(series, number, edge, count), item.message)
            return None, weight
        except OvertakenError:
            raise
        except Exception as error:
            self._outbox.check()
            del made[begun:]
            return _Failed(self._failure(item, error), False), 0

    def _finish(self, made: list[Sent], done: list[Item]) -> None:
        """Have sent, or kept, what was made, and settle what is done with altogether."""
        self._check()
        self._counts.sent += len(made)
        if self._effects.active:
            self._effects.keep(made, weight_of(made))
            for opened, indexes in _by_delivery(done):
                for found in ranges(sorted(indexes)):
                    self._effects.apply(opened.batch, found)
        elif made:
            self._outbox.send(made.copy(), weight_of(made))
        made.clear()
        for opened, indexes in _by_delivery(done):
            opened.left -= len(indexes)
            self._settle_done([opened])
        for item in done:
            self._has_left(item)
        done.clear()
        self._hearing.wait_for_room()

    def _fail(self, item: Item, failure: Failure, *, alone: bool) -> bool:
        """An attempt at a message has failed, and nothing of it leaves. Returns whether it is tried again from here."""
        opened = item.opened
        batch = opened.batch
        self._log(f"message {batch.id(item.index)}", failure)
        again = self._order is not None and not is_last(failure.attempts, self._assignment.max_attempts)
        if again or self._is_tried_at_once(batch, failure):
            delay = self._retries.in_its_place(batch, item.index, failure) if again else 0.0
            self._counts.retried += 0 if again else 1
            self._again(item, failure, alone, time.monotonic() + delay)
            return True
        self._retries.set_aside(batch, item.index, failure, self._check, alone=alone or item.alone)
        opened.aside = True
        opened.left -= 1
        self._settle_done([opened])
        self._has_left(item)
        return False

    def _settle_done(self, opened: Iterable[Opened]) -> None:
        """Settle the deliveries of which every message is done with."""
        for one in opened:
            if one.left or self._opened.pop(id(one), None) is None:
                continue
            if one.batch.leases:
                one.batch.forget()
                self._leases = [lease for other in self._opened.values() for lease in other.batch.leases]
            self._settle(one.batch, kept=one.aside)


class _Failed:
    """What stands for the messages of a failed attempt; `alone` where others may be to blame."""

    __slots__ = ("alone", "failure")

    def __init__(self, failure: Failure, alone: bool) -> None:
        self.failure = failure
        self.alone = alone


@dataclass(slots=True)
class _Copies:
    """A message that is on its way, and the same message once more, which waits for what becomes of it."""

    first: Item
    others: list[Item] = field(default_factory=list)


def _by_delivery(items: Iterable[Item]) -> Iterable[tuple[Opened, list[int]]]:
    """The indexes of messages by their delivery."""
    found: dict[int, tuple[Opened, list[int]]] = {}
    for item in items:
        found.setdefault(id(item.opened), (item.opened, []))[1].append(item.index)
    return found.values()


def _calls(items: Iterable[Item]) -> list[tuple[int, int, list[Run]]]:
    """The messages by their edge and attempt, as the crash slot names them."""
    found: dict[tuple[int, int], list[tuple[Series, int]]] = {}
    for item in items:
        batch = item.opened.batch
        found.setdefault((batch.delivery.edge, item.failed + 1), []).append(batch.ids[item.index])
    return [(edge, attempt, runs_of(*zip(*ids, strict=True))) for (edge, attempt), ids in found.items()]

"""Flights: messages of several deliveries are with the kernel at once, and leave as they land, or in their order.

The replica's thread alone touches what is stored, tried again and settled. Workers only call the kernel.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from interactem.runtime.errors import StateError
from interactem.runtime.failures import Failure, is_last
from interactem.runtime.flight.inline import Inline
from interactem.runtime.flight.items import Flight, Item, Opened, Told, Workers
from interactem.runtime.flight.leaving import Copies, Failed, by_delivery
from interactem.runtime.flight.order import Order
from interactem.runtime.flight.parts import Parts
from interactem.runtime.flight.processes import Processes
from interactem.runtime.flight.queue import Queue
from interactem.runtime.flight.yielding import Yielding
from interactem.runtime.ids import Run, Series, runs_of
from interactem.runtime.kernels import Kernel
from interactem.runtime.messages import BytesMessage
from interactem.runtime.tracing import Call, Tracing
from interactem.runtime.transports import Delivery

__all__ = ["Flights"]

_LONGEST_WAIT = 0.2
_AHEAD = 4
"""In order, so many times as many messages as are in flight may have landed before one that has not."""


class Flights(Yielding):
    """Takes deliveries, and gives what is in them to the kernel, several messages at once. `prepare` comes first."""

    def prepare(
        self,
        kernel: Kernel,
        workers: Callable[[Callable[[Flight], None]], Workers],
        log: Callable[[str, Failure], None],
        limit: float,
        arm: Callable[[float], None],
        tracing: Tracing | None = None,
    ) -> None:
        """`limit` is how long a flight may take until the process is ended, by `arm`; 0 is for ever."""
        batching, stages = kernel.batching, kernel.stages
        size = 1 if batching is None else batching.max_size
        self._queue = Queue() if batching is None else Queue(size, batching.max_wait)
        self._most = size * (kernel.mode.width if stages is None else stages.most)
        self._workers = workers(self._land)
        self._log = log
        self._limit, self._arm = limit, arm
        self._tracing = tracing
        self._order = Order() if kernel.mode.ordered else None
        self._width = kernel.mode.width if stages is None else stages.most
        self._batches = batching is not None
        self._streams = kernel.generator and not self._batches
        self._inline = isinstance(self._workers, Inline)
        self._context.concurrent = "" if self._inline else str(kernel.mode) or f"@operator.{kernel.kind}"
        self._places = 0
        self._flying: list[Flight] = []
        self._keys = {}
        self._opened = {}
        self._landed: deque[Flight] = deque()
        self._yielding = deque()
        self._broken = None
        self._event = threading.Event()
        self._receiving = False

    @property
    def poke(self) -> Callable[[BytesMessage | None, dict[str, Any]], Any] | None:
        """How the kernel is called for a trigger where that is not as everywhere."""
        return self._workers.poke if isinstance(self._workers, Processes) else None

    def start(self) -> None:
        """Once the kernel's dependencies are there. Raises `SetUpError`."""
        self._workers.start()

    def close(self) -> None:
        self._end_parts()
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
        self._end_parts()  # those are handed to whoever comes next
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
        self._stir()

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
        elif not (self._landed or self._yielding):
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
        delivery = self._hearing.receive(0.0 if self._landed or self._yielding else seconds)
        self._receiving = False
        if delivery is not None:
            self.take(delivery)

    def _check_limits(self) -> None:
        """End the process where a call takes too long: the message that it has is the one to blame."""
        now = time.perf_counter()
        for flight in self._flying:
            begun = flight.watch.begun
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
        if again and self._effects.active:
            self._keys.setdefault(item.key, Copies(item))  # a copy that came later waits for it
        elif self._order is not None and not again:
            self._order.skip(item.place)
        return True

    # what goes

    def _begin_flights(self) -> None:
        hearing, queue = self._hearing, self._queue
        queue.ends = hearing.told_to_finish or hearing.closed
        flights: list[Flight] = []
        room = self._workers.room
        while len(flights) < room and not hearing.stopped:
            flying = [*self._flying, *flights]
            if any(flight.items[0].alone for flight in flying):
                break
            group = queue.take(time.monotonic(), len(flying), self._stop(flying))
            if not group:
                break
            if group := self._fresh(group):
                flights.append(self._flight(group))
        if not flights:
            return
        self._flying += flights
        self._name(self._flying)
        for flight in flights:
            self._workers.begin(flight)

    def _stop(self, flying: list[Flight]) -> int | None:
        """The place from which on nothing may go now, with these in flight; None where all may.

        What a generator yields before its turn is held back, and its call with it. So whatever's turn it is must find
        room, or nothing would ever go on: a call that is over may have failed, and its place is not given away before
        that is known. Where there can be a state, nothing changes it before its turn.
        """
        pokes = bool(self._hearing.pokes)
        if self._order is None:
            return 0 if pokes else None
        turn = self._order.next
        stop = turn + _AHEAD * self._most
        if self._inline or not self._streams:
            later = self._queue.first_later() if self._inline else None
            return turn if pokes else stop if later is None else min(stop, later)
        places = [flight.items[0].place for flight in flying]
        if pokes:
            return turn + 1 if places and turn not in places else turn
        if (left := self._width - len(flying)) < 1 or (left == 1 and turn not in places):
            return turn + left
        alone = self._queue.first_later(alone=True)
        return stop if alone is None else min(stop, alone)

    def _flight(self, items: list[Item]) -> Flight:
        flight = Flight(items, dict(self._hearing.parameters), calls=_calls(items))
        if self._tracing is not None:
            name = self._context.operator
            for item in items:
                item.span = self._tracing.call(name, item.message, item.failed + 1)
            spans = [item.span for item in items if item.span is not None]
            flight.span = self._tracing.calls(f"{name} batch", spans) if self._batches else spans[0]
        if self._streams and not self._effects.active:
            flight.parts = Parts(partial(self._has_yielded, flight))
        return flight

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
                self._keys[key] = copies or Copies(item)
                fresh.append(item)
        for item in done:
            if self._order is not None:
                self._order.skip(item.place)
            item.opened.left -= 1
        self._settle_done([item.opened for item in done])
        return fresh

    def _name(self, flights: Sequence[Flight]) -> None:
        """Should the process die now, this is what it died with."""
        self._slot.fly([call for flight in flights for call in flight.calls])

    # what lands

    def _take_landed(self) -> None:
        if self._broken is not None:
            raise self._broken
        self._take_yielded()
        pairs: deque[tuple[Item, Any]] = deque()
        landed = len(self._landed)
        for _ in range(landed):
            self._take_one(self._landed.popleft(), pairs)
        if landed:
            self._name(self._flying)
        turn = -1 if self._order is None else self._order.next
        if self._order is not None:
            pairs.extend(self._order.leaving())
        if pairs:
            self._leave(pairs)
        if self._order is not None and self._order.next != turn:
            self._take_yielded()  # it is another one's turn

    def _take_one(self, flight: Flight, pairs: deque[tuple[Item, Any]]) -> None:
        if flight.fatal is not None:
            self._name([flight])
            raise flight.fatal
        spans = [item.span for item in flight.items]
        if flight.parts is not None:
            self._end_yielding(flight, flight.parts)
        self._flying.remove(flight)
        if flight.undo is not None and self._context.state_used:
            self._bring_back(flight, flight.undo)
        self._counts.kernel_times.record(flight.seconds)
        if flight.items:
            self._counts.timed(len(flight.items), flight.seconds / self._width)
        pairs += self._sorted(flight)
        if flight.span is not None:
            self._end_spans(flight.span, [span for span in spans if span is not None])
        flight.items, flight.outcomes = [], []  # nobody looks at what was in shared memory

    def _end_spans(self, whole: Call, each: list[Call]) -> None:
        """Those that have not ended with an error."""
        for span in (*each, whole):
            if span.span.is_recording():
                span.end()

    def _bring_back(self, flight: Flight, undo: Callable[[], None]) -> None:
        """Where something of a call has failed, nothing of it is in the state: the kernel is given the others again."""
        pairs = list(zip(flight.items, flight.outcomes, strict=True))
        failed = [(item, outcome) for item, outcome in pairs if self._fails(item, outcome)]
        if not failed:
            return
        undo()
        flight.items, flight.outcomes = [item for item, _ in failed], [outcome for _, outcome in failed]
        others = [item for item, _ in pairs if item not in flight.items]
        for opened, _ in by_delivery(others):
            messages = opened.batch.fresh()
            for item in others:
                if item.opened is opened:
                    item.message, item.sent = messages[item.index], 0
                    self._queue.add_first(item)

    def _fails(self, item: Item, outcome: Any) -> bool:
        made = outcome if isinstance(outcome, Failed) else self._checked(outcome)
        return not isinstance(made, list) or self._pack([], item, made)[0] is not None

    def _sorted(self, flight: Flight) -> list[tuple[Item, Any]]:
        """The items of a flight with what has come of them; in order, they are put where they belong, or go again."""
        found: list[tuple[Item, Any]] = []
        for item, outcome in zip(flight.items, flight.outcomes, strict=True):
            if isinstance(outcome, StateError):
                raise outcome
            made = outcome if isinstance(outcome, Failed) else self._checked(outcome)
            if isinstance(made, (Exception, Told)):
                failure = self._failure(item, made)
                if flight.shared:
                    failure = failure.shared(self._assignment.max_attempts)
                made = Failed(failure, flight.shared)
            if isinstance(made, Failed) and item.span is not None:
                item.span.end(made.failure)
            if self._order is None:
                found.append((item, made))
            elif not isinstance(made, Failed) or not self._goes_again(item, made):
                self._order.land(item, made)
        return found

    def _goes_again(self, item: Item, failed: Failed) -> bool:
        """In order: whether it is tried again, in its place. What came later waits for it."""
        failure = failed.failure
        if is_last(failure.attempts, self._assignment.max_attempts):
            return False
        batch = item.opened.batch
        self._log(f"message {batch.id(item.index)}", failure)
        delay = self._retries.in_its_place(batch, item.index, failure)
        self._again(item, failure, failed.alone, time.monotonic() + delay)
        return True

    # what leaves


def _calls(items: Iterable[Item]) -> list[tuple[int, int, list[Run]]]:
    """The messages by their edge and attempt, as the crash slot names them."""
    found: dict[tuple[int, int], list[tuple[Series, int]]] = {}
    for item in items:
        batch = item.opened.batch
        found.setdefault((batch.delivery.edge, item.failed + 1), []).append(batch.ids[item.index])
    return [(edge, attempt, runs_of(*zip(*ids, strict=True))) for (edge, attempt), ids in found.items()]

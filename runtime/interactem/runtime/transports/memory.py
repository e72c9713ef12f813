"""A broker inside one process, for tests: the same contract as NATS, without anything to install or to start.

`MemoryBroker` holds a run's queues; each replica, in a thread of its own, gets a `MemoryTransport` from it.
`abandon` is what a crash looks like: what the replica held is handed out again.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from interactem.runtime.assignment import Assignment
from interactem.runtime.errors import TransportError
from interactem.runtime.histograms import Histogram
from interactem.runtime.outbox import Outbox
from interactem.runtime.routing import Routing, matches
from interactem.runtime.subjects import Names
from interactem.runtime.transports import MOST_HELD_IN_ORDER, Delivery, Record, Store, Work
from interactem.runtime.wire import FORMAT


@dataclass(slots=True)
class _Entry:
    subject: str
    payload: bytes
    sequence: int
    retry: bool
    wire: bool
    stored: float


@dataclass(slots=True)
class _Queue:
    """A durable consumer: what waits, and what is held by whom."""

    edge: int
    most: float
    waiting: deque[_Entry] = field(default_factory=deque)
    held: dict[int, MemoryTransport] = field(default_factory=dict)
    deferred: dict[int, float] = field(default_factory=dict)


class MemoryBroker:
    """The streams, consumers and records of the run that `assignments` describe.

    `stream_batches` is how many batches a stream holds before it refuses more.
    """

    def __init__(self, assignments: Sequence[Assignment], *, stream_batches: int = 10_000) -> None:
        self.names = Names(assignments[0].run)
        self.records: dict[str, bytes] = {}
        self.dead: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.reports: list[tuple[str, bytes]] = []
        self.changed = threading.Condition()
        self._capacity = stream_batches
        self._ids: set[tuple[str, str]] = set()
        self._sequence = 0
        self._queues: dict[tuple[int, int], _Queue] = {}
        self._readers: dict[str, list[_Queue]] = {}
        self._transports: list[MemoryTransport] = []
        self._filters: dict[str, list[tuple[str, _Queue]]] = {}
        routings = {output.stream: Routing(output) for a in assignments for output in a.outputs}
        for entry in (entry for a in assignments for entry in a.inputs):
            for part in range(entry.partitions):
                queue = self._queues[entry.edge, part] = _Queue(
                    entry.edge, MOST_HELD_IN_ORDER if entry.ordered else math.inf
                )
                self._readers[self.names.retry(entry.edge, part)] = [queue]
                filters = self._filters.setdefault(self.names.messages(entry.stream, ""), [])
                lanes = routings[entry.stream].filters(entry.edge, part, entry.partitions)
                filters += [(lane, queue) for lane in lanes]

    def connect(self, assignment: Assignment, replica: int) -> MemoryTransport:
        transport = MemoryTransport(self, assignment, replica)
        with self.changed:
            self._transports.append(transport)
        return transport

    def outstanding(self, edge: int) -> int:
        """How many batches of an edge are not settled, those to be tried again included."""
        with self.changed:
            queues = [queue for (number, _), queue in self._queues.items() if number == edge]
            return sum(len(queue.waiting) + len(queue.held) for queue in queues)

    def tell(self, subject: str, payload: bytes) -> None:
        """Store a record and pass it to the replicas that it concerns."""
        with self.changed:
            self.records[subject] = payload
            self._pass_on(subject, payload)

    def poke(self, operator: int, payload: bytes) -> None:
        """Tell the replicas of an operator something that is not stored."""
        with self.changed:
            self._pass_on(self.names.pokes(operator), payload)

    def abandon(self, transport: MemoryTransport) -> None:
        """The replica of `transport` is dead: hand out again what it held."""
        with self.changed:
            transport.closed = True
            for queue in self._queues.values():
                own = [sequence for sequence, holder in queue.held.items() if holder is transport]
                for sequence in sorted(own, reverse=True):
                    del queue.held[sequence]
                    queue.waiting.appendleft(transport.entries.pop(sequence))
            self.changed.notify_all()

    # what transports do; each holds the condition

    def _pass_on(self, subject: str, payload: bytes) -> None:
        for transport in self._transports:
            if transport.concerns(subject):
                transport.hear(subject, payload)
        self.changed.notify_all()

    def store(self, item: Store, transport: MemoryTransport | None = None) -> None:
        """Store what `transport` sends. Raises `TransportError` where that is abandoned while the stream is full."""
        kind = item.subject.split(".")[2]
        if kind in "cr":
            self.records[item.subject] = item.payload
            self.changed.notify_all()
        elif kind == "d":
            self.dead[item.subject] = item.payload
        elif kind in "bk":
            self.blobs[item.subject] = item.payload
        else:
            self._enqueue(item, transport, retry=kind == "t")

    def _enqueue(self, item: Store, transport: MemoryTransport | None, *, retry: bool) -> None:
        queues = self._queues_of(item.subject)
        if item.id is not None and (item.subject, item.id) in self._ids:
            return
        while not retry and any(len(queue.waiting) >= self._capacity for queue in queues):
            if transport is not None:
                transport.check()
            self.changed.wait(1.0)
        if item.id is not None:
            self._ids.add((item.subject, item.id))
        for queue in queues:
            self._sequence += 1
            queue.waiting.append(_Entry(item.subject, item.payload, self._sequence, retry, item.wire, time.time()))
        self.changed.notify_all()

    def _queues_of(self, subject: str) -> list[_Queue]:
        queues = self._readers.get(subject)
        if queues is None:
            lane = ".".join(subject.split(".")[4:])
            filters = self._filters.get(subject.removesuffix(lane), [])
            queues = self._readers[subject] = [queue for filter, queue in filters if matches(filter, lane)]
        return queues

    def drop(self, subjects: list[str]) -> None:
        """Remove the blobs under these subjects."""
        for subject in subjects:
            self.blobs.pop(subject, None)

    def next_for(self, transport: MemoryTransport) -> Delivery | None:
        now = time.monotonic()
        for key in transport.consumers:
            queue = self._queues[key]
            if len(queue.held) >= queue.most:
                continue
            for _ in range(len(queue.waiting)):
                entry = queue.waiting.popleft()
                if queue.deferred.get(entry.sequence, 0) > now:
                    queue.waiting.append(entry)
                    continue
                queue.deferred.pop(entry.sequence, None)
                queue.held[entry.sequence] = transport
                transport.entries[entry.sequence] = entry
                format = FORMAT if entry.wire else None
                backlog = len(queue.waiting)
                return Delivery(
                    queue.edge, entry.payload, format, key, entry.sequence, entry.retry, backlog, entry.stored
                )
        return None

    def settle(self, transport: MemoryTransport, delivery: Delivery) -> None:
        if transport.entries.pop(delivery.sequence, None) is not None:
            del self._queues[delivery.token].held[delivery.sequence]
        self.changed.notify_all()

    def defer(self, transport: MemoryTransport, delivery: Delivery, delay: float) -> None:
        queue = self._queues[delivery.token]
        queue.held.pop(delivery.sequence)
        queue.deferred[delivery.sequence] = time.monotonic() + delay
        queue.waiting.append(transport.entries.pop(delivery.sequence))


class MemoryTransport:
    """One replica's way to a `MemoryBroker`. What the outbox takes in is stored before `put` returns."""

    def __init__(self, broker: MemoryBroker, assignment: Assignment, replica: int) -> None:
        self.closed = False
        self._woken = False
        self.storing = Histogram()
        self.beat: Callable[[], None] = lambda: None
        self.inbox: deque[Record] = deque()
        self.entries: dict[int, _Entry] = {}
        self.consumers = [(entry.edge, entry.partition(replica)) for entry in assignment.inputs]
        self._broker = broker
        self._outbox: Outbox | None = None
        names = broker.names
        own = (names.control(assignment.operator, ""), names.record(assignment.operator, replica, ""))
        readers = {reader for output in assignment.outputs for reader in output.readers}
        self._pokes = names.pokes(assignment.operator)
        self._prefixes = (*own, *(names.report(reader, "") for reader in readers))

    def concerns(self, subject: str) -> bool:
        return subject == self._pokes or subject.startswith(self._prefixes)

    def hear(self, subject: str, payload: bytes) -> None:
        _, _, kind, operator, *_ = subject.split(".")
        if kind != "m":
            self.inbox.append(Record(subject, payload))
        elif self._outbox is not None:
            self._outbox.demand.hear(int(operator), payload)

    def open(self, outbox: Outbox) -> dict[str, bytes]:
        self._outbox = outbox
        outbox.wake = self._work
        with self._broker.changed:
            return {subject: payload for subject, payload in self._broker.records.items() if self.concerns(subject)}

    def receive(self, timeout: float | None) -> Delivery | Record | None:
        until = None if timeout is None else time.monotonic() + timeout
        with self._broker.changed:
            while True:
                self.check()
                if self._woken:
                    self._woken = False
                    return None
                if self.inbox:
                    return self.inbox.popleft()
                if (delivery := self._broker.next_for(self)) is not None:
                    return delivery
                left = 0.05 if until is None else min(0.05, until - time.monotonic())
                if left <= 0:
                    return None
                self._broker.changed.wait(left)

    def wake(self) -> None:
        with self._broker.changed:
            self._woken = True
            self._broker.changed.notify_all()

    @property
    def waiting(self) -> bool:
        return bool(self.inbox)

    @property
    def held(self) -> int:
        return len(self.entries)

    def check(self) -> None:
        """Raises `TransportError` where the replica is dead to the broker."""
        if self.closed:
            raise TransportError("this replica has been abandoned")

    def _work(self) -> None:
        outbox = self._opened()
        outbox.check()
        try:
            while (work := outbox.take()) is not None:
                begun = time.perf_counter()
                with self._broker.changed:
                    self.check()
                    self._do(work)
                self.storing.record(time.perf_counter() - begun)
                if work.done:
                    work.done()
        except Exception as error:
            outbox.fail(error)
            raise

    def _opened(self) -> Outbox:
        if self._outbox is None:
            raise TransportError("the transport is not open")
        return self._outbox

    def _do(self, work: Work) -> None:
        for item in (*work.first, *work.then):
            self._store(item)
        for delivery in work.settled:
            self._settle(delivery)
        if work.after is not None:
            self._store(work.after)
        self._broker.drop([*work.purge, *work.drop])

    def _store(self, item: Store) -> None:
        self._broker.store(item, self)
        if item.stored is not None:
            item.stored(0, False)

    def _settle(self, delivery: Delivery) -> None:
        self._broker.settle(self, delivery)

    def defer(self, delivery: Delivery, delay: float) -> None:
        with self._broker.changed:
            self._broker.defer(self, delivery, delay)

    def report(self, subject: str, payload: bytes) -> None:
        with self._broker.changed:
            self.check()
            self._broker.reports.append((subject, payload))
            self._broker._pass_on(subject, payload)

    def read_blob(self, subjects: list[str]) -> bytes:
        with self._broker.changed:
            return b"".join([self._broker.blobs[subject] for subject in subjects])

    def finish(self) -> None:
        self._work()

    def close(self) -> None:
        self.closed = True

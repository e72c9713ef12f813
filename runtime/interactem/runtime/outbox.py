"""What a replica has to store: a queue that the kernel's thread fills and the transport's thread empties.

The transport takes all that has gathered whenever it is free. So a message goes out at once while there is no queue,
and under load the batches grow by themselves, up to their limits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from interactem.runtime import blobs, wire
from interactem.runtime.arena import Arena, Placed, Reader
from interactem.runtime.assignment import Assignment, Output
from interactem.runtime.blobs import HEADROOM, Reference
from interactem.runtime.demand import Demand
from interactem.runtime.errors import MessageTooLargeError
from interactem.runtime.ids import partition, text
from interactem.runtime.references import BlockReference, References
from interactem.runtime.routing import Readership, Routing
from interactem.runtime.subjects import Names, short_hash
from interactem.runtime.transports import Delivery, Store, Work
from interactem.runtime.views import Views
from interactem.runtime.wire import WEIGHT, Packed

BATCH_BYTES = 262_144
STORES_AT_ONCE = 64
BATCH_BYTES_PLACED = 16 * 2**20
"""So much of shared memory one batch refers to, about: what is read soon after it was written is in the caches."""
_ROOM_BYTES = 4 * 2**20
_ROOM_MESSAGES = 4_096
"""More would be out of the caches before they are encoded."""

Sent = tuple[int, Packed]
"""A message and its address: the index of its output, plus its code there (see `routing`) times the number of those."""

Group = tuple[Sequence[Sent], int, Any]
"""Messages that are sent together, their weight, and the place that a source has come to with them (else None)."""

Item = Group | Delivery | Store | Work


class _Lane(NamedTuple):
    subject: str
    readers: tuple[Readership, ...]


def weight_of(messages: Iterable[Sent]) -> int:
    return sum([packed[WEIGHT] for _, packed in messages])


class Outbox:
    """The queue.

    The transport tells `demand` what readers say. `locate` makes what is stored of a source's place; a source sets it.
    While `idle`, the transport waits for `wake`; it sets both.
    """

    def __init__(self, assignment: Assignment, replica: int = 0) -> None:
        self.demand = Demand(assignment.outputs)
        self.idle = True
        self.wake: Callable[[], None] = lambda: None
        self.arena: Arena | None = None
        self.views: Views | None = None
        self.locate: Callable[[Any], Store]
        self._assignment = assignment
        self.routings = [Routing(output) for output in assignment.outputs]
        self.replica = replica
        self._names = Names(assignment.run)
        self._lines = [self._names.messages(output.stream, "") for output in assignment.outputs if output.ordered]
        self._most_bytes = min(BATCH_BYTES, assignment.max_payload - HEADROOM)
        self.small = min(self._most_bytes // 2, assignment.max_message)
        """Messages up to this weight need no `check_size`."""
        self._items: deque[Item] = deque()
        self._room = threading.Condition()
        # counted apart by the two threads, so that no number is changed by both
        self._bytes_in = self._messages_in = 0
        self._bytes_out = self._messages_out = 0
        self._blocked = False
        self._error: Exception | None = None
        self.stored_bytes = 0
        """Of all payloads with messages that were made to be stored, and of what they refer to in shared memory."""

    # what the replica's thread does

    def put(self, item: Delivery | Store | Work) -> None:
        self._items.append(item)
        if self.idle:
            self.wake()

    def send(self, messages: Sequence[Sent], weight: int, place: Any = None) -> None:
        """Put messages of this weight altogether, and the place that a source has come to with them.

        Of places only the latest is ever looked at.
        """
        arena = self.arena
        # a source's small message, which comes alone, is not looked through
        if arena is not None and (len(messages) != 1 or type(messages[0][1][4]) is Placed):
            weight = weight_of(messages)  # without what lies in the arena
            arena.handed([packed[4] for _, packed in messages if type(packed[4]) is Placed])
        self._bytes_in += weight
        self._messages_in += len(messages)
        self._items.append((messages, weight, place))
        if self.idle:
            self.wake()

    @property
    def messages(self) -> int:
        """How many messages are in it."""
        return self._messages_in - self._messages_out

    @property
    def full(self) -> bool:
        """Whether more should wait: the broker is the slower one."""
        return self._bytes_in - self._bytes_out >= _ROOM_BYTES or self.messages >= _ROOM_MESSAGES

    def wait_for_room(self, timeout: float) -> bool:
        """Whether there is room for more, within `timeout` seconds. Raises what the transport failed with."""
        if not self.full:
            return True
        with self._room:
            self._blocked = True
            self._room.wait_for(lambda: self._error or not self.full, timeout)
        self.check()
        return not self.full

    def check(self) -> None:
        """Raises what the transport failed with, if it has."""
        if self._error is not None:
            raise self._error

    def check_size(self, packed: Packed) -> None:
        """Raises `MessageTooLargeError` for a message that cannot be stored, so that its author hears of it."""
        size = len(packed[4]) if type(packed[4]) is not Placed else wire.REFERENCE_BYTES
        if size > self._assignment.max_message:
            raise MessageTooLargeError(size, self._assignment.max_message)
        described, bound = packed[WEIGHT] - size, self._most_bytes // 2
        if described > bound:
            raise MessageTooLargeError(described, bound, "meta and tracking")

    # what the transport's thread does

    def fail(self, error: Exception) -> None:
        """Nothing more will be stored."""
        with self._room:
            self._error = error
            self._room.notify_all()

    def __len__(self) -> int:
        return len(self._items)

    def take(self) -> Work | None:
        """The next piece of work, or None."""
        items = self._items
        if not items:
            return None
        first = items[0]
        if isinstance(first, Work):
            items.popleft()
            work = first
        else:
            work = self._gather()
        if self._blocked and not self.full:
            with self._room:
                self._blocked = False
                self._room.notify_all()
        return work

    def _gather(self) -> Work:
        """As many items as one batch may hold, up to what stands alone."""
        work = Work()
        messages: list[Sent] = []
        weight = 0
        place = None
        most, most_bytes = max(self.demand.limits, default=1), self._most_bytes
        items = self._items
        while items:
            item = items[0]
            if type(item) is tuple:
                group, added, place_then = item
                if messages and (weight + added > most_bytes or len(messages) + len(group) > most):
                    break
                weight += added
                messages += group
                place = place_then or place
            elif type(item) is Delivery:
                work.settled.append(item)
            elif type(item) is Store and len(work.then) < STORES_AT_ONCE:
                work.then.append(item)
            else:
                break
            items.popleft()
        self._bytes_out += weight
        self._messages_out += len(messages)
        work.first, batches = self.stores(messages)
        work.then[:0] = batches
        if place is not None:
            work.after = self.locate(place)
        return work

    def stores(self, messages: Sequence[Sent]) -> tuple[list[Store], list[Store]]:
        """The blobs to store first, and the batches that refer to them or hold the messages themselves, in order."""
        blobs_first: list[Store] = []
        batches: list[Store] = []
        for (address, part), group in self._lanes(messages):
            code, index = divmod(address, len(self.routings))
            lane = _Lane(self._subject(index, part, code), self.routings[index].readers(part, code))
            for whole, batch in self._cut(group, self.demand.limits[index]):
                if whole:
                    batches.append(self._reference(self._assignment.outputs[index], lane, batch[0], blobs_first))
                else:
                    batches.append(self._batch(lane, batch))
        self.stored_bytes += sum([len(store.payload) for store in (*blobs_first, *batches)])
        return blobs_first, batches

    def _subject(self, index: int, part: int, code: int) -> str:
        return self._names.messages(self._assignment.outputs[index].stream, self.routings[index].lane(part, code))

    def readers(self, address: int) -> tuple[Readership, ...]:
        """The edges that take messages with this address. Their partitions are those of messages that are 0 by id."""
        code, index = divmod(address, len(self.routings))
        return self.routings[index].readers(0, code)

    def line(self, subject: str) -> str:
        """The line of batches with messages that are stored under a subject; empty where there is none."""
        return next((line for line in self._lines if subject.startswith(line)), "")

    def _lanes(self, messages: Sequence[Sent]) -> Iterable[tuple[tuple[int, int], list[Packed]]]:
        """The messages by address and partition by id: within one, their order holds.

        So does that of all which one reader gets on an edge that keeps its order. There, what lies in one lane may
        come in several groups.
        """
        routings = self.routings
        count = len(routings)
        if count == 1 and routings[0].by_id == 1 and routings[0].plain:
            return [((0, 0), [packed for _, packed in messages])] if messages else []
        groups: list[tuple[tuple[int, int], list[Packed]]] = []
        lanes: dict[tuple[int, int], list[Packed]] = {}
        latest: dict[Readership, list[Packed]] = {}  # what who reads in order reads last
        for address, packed in messages:
            routing = routings[address % count]
            ways = routing.by_id
            part = 0 if ways == 1 else partition(packed[0], packed[1], ways)
            place = address, part
            lane = lanes.get(place)
            readers = routing.in_order(part, address // count) if routing.ordered else ()
            if lane is None or (readers and any(latest.get(reader) is not lane for reader in readers)):
                lane = lanes[place] = []
                groups.append((place, lane))
                latest.update(dict.fromkeys(readers, lane))
            lane.append(packed)
        return groups

    def _cut(self, group: list[Packed], limit: int) -> Iterable[tuple[bool, list[Packed]]]:
        """The group in batches that fit; True beside a message that fits into no batch."""
        room, largest = self._most_bytes, self._assignment.max_payload - HEADROOM
        if self.arena is None and len(group) <= limit and sum([packed[WEIGHT] for packed in group]) <= room:
            yield False, group
            return
        batch: list[Packed] = []
        weight = placed = 0
        for packed in group:
            added = packed[WEIGHT]
            whole = added > largest
            full = len(batch) >= limit or weight + added > room or placed > BATCH_BYTES_PLACED
            if batch and (whole or full):
                yield False, batch
                batch, weight, placed = [], 0, 0
            if whole:
                yield True, [packed]
            else:
                batch.append(packed)
                weight += added
                placed += len(packed[4]) if type(packed[4]) is Placed else 0
        if batch:
            yield False, batch

    def _batch(self, lane: _Lane, group: list[Packed]) -> Store:
        arena, subject = self.arena, lane.subject
        placed = [packed[4] for packed in group if type(packed[4]) is Placed] if arena is not None else []
        if arena is None or not placed:
            payload, name = wire.encode_named(group)
            return Store(subject, payload, name, wire=True, line=self.line(subject))
        self.stored_bytes += sum([each.size for each in placed])
        here = self._assignment.operator, self.replica
        blocks = [_reference_to(packed[4]) for packed in group]
        bare = [(*packed[:4], b"" if type(packed[4]) is Placed else packed[4], *packed[5:]) for packed in group]
        payload, name = wire.encode_named(bare, References(*here, arena.identity, blocks).to_value())
        name = f"{name}.{arena.identity.hex()[:8]}"  # what is computed again after a loss is no duplicate of it
        noted = _noted(arena, placed, lane.readers)
        return Store(subject, payload, name, wire=True, line=self.line(subject), stored=noted)

    def _reference(self, output: Output, lane: _Lane, packed: Packed, blobs_first: list[Store]) -> Store:
        """One copy of the data for each edge that takes it, and a batch that says where it is."""
        limit = self._assignment.max_payload
        series, number, meta, tracking, data, weight, tags = packed
        if isinstance(data, Placed):
            raise TypeError("what lies in an arena is not stored apart")
        reference = Reference(f"{output.stream}-{short_hash(text(series, number))}", len(blobs.pieces(data, limit)))
        for reader in lane.readers:
            blobs_first += blobs.stores(reference.subjects(self._names, reader.edge), data, limit)
        alone = [(series, number, meta, tracking, b"", weight, tags)]
        payload, name = wire.encode_named(alone, reference.to_value())
        return Store(lane.subject, payload, name, wire=True, line=self.line(lane.subject))


def _reference_to(data: wire.Data) -> BlockReference | None:
    if type(data) is not Placed:
        return None
    return BlockReference(data.block.number, data.block.generation, data.block.offset, data.size)


def _noted(arena: Arena, placed: list[Placed], readers: Sequence[Reader]) -> Callable[[int, bool], None]:
    """Lets the arena know under which sequence a batch was stored."""

    def stored(sequence: int, again: bool) -> None:
        arena.stored(placed, readers, sequence, again=again)

    return stored

"""What a replica has to store: a queue that the kernel's thread fills and the transport's thread empties.

The transport takes all that has gathered whenever it is free. So a message goes out at once while there is no queue,
and under load the batches grow by themselves, up to their limits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from interactem.runtime import blobs, wire
from interactem.runtime.assignment import Assignment, Output
from interactem.runtime.blobs import HEADROOM, Reference
from interactem.runtime.errors import MessageTooLargeError
from interactem.runtime.ids import partition
from interactem.runtime.subjects import Names, short_hash
from interactem.runtime.transports import Delivery, Store, Work
from interactem.runtime.wire import Packed

BATCH_BYTES = 262_144
BATCH_MESSAGES = 1_024
BATCH_SECONDS = 0.05
"""How long the slowest kernel that reads a batch may take for it, about."""
STORES_AT_ONCE = 64
_ROOM_BYTES = 4 * 2**20
_ROOM_ITEMS = 16_384

Sent = tuple[int, Packed]
"""A message and the index of the output that it goes to."""


@dataclass(slots=True)
class Place:
    """How far a source has come once everything put before is stored. Only the latest is ever looked at."""

    mark: Any


Item = Sent | Delivery | Store | Place | Work


def batch_limit(kernel_seconds: Iterable[float]) -> int:
    """Messages in a batch, for readers whose kernels take so long for one; 1 while any of them has not said (0)."""
    slowest = 0.0
    for seconds in kernel_seconds:
        if seconds <= 0:
            return 1
        slowest = max(slowest, seconds)
    return BATCH_MESSAGES if slowest == 0 else max(1, min(BATCH_MESSAGES, int(BATCH_SECONDS / slowest)))


class Outbox:
    """The queue.

    `limits` holds each output's messages in a batch, `lingers` says that the readers are behind anyway, so that
    batches may take a little time to grow. Whoever hears from the readers sets both. `locate` makes what is stored of
    a `Place`; a source sets it.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.limits = [1] * len(assignment.outputs)
        self.lingers = False
        self.wake: Callable[[], None] = lambda: None
        self.locate: Callable[[Any], Store]
        self._assignment = assignment
        self._names = Names(assignment.run)
        self._most_bytes = min(BATCH_BYTES, assignment.max_payload - HEADROOM)
        self.small = min(self._most_bytes // 2, assignment.max_message)
        """Messages up to this weight need no `check_size`."""
        self._items: deque[Item] = deque()
        self._room = threading.Condition()
        self._bytes_in = 0
        self._bytes_out = 0
        self._blocked = False
        self._error: Exception | None = None

    # what the replica's thread does

    def put(self, item: Delivery | Store | Work) -> None:
        self._items.append(item)
        self.wake()

    def send(self, messages: Sequence[Sent], weight: int, place: Place | None = None) -> None:
        """Put messages of this weight altogether, and the place that a source has come to with them."""
        self._bytes_in += weight
        self._items.extend(messages)
        if place is not None:
            self._items.append(place)
        self.wake()

    @property
    def full(self) -> bool:
        """Whether more should wait: the broker is the slower one."""
        return self._bytes_in - self._bytes_out >= _ROOM_BYTES or len(self._items) >= _ROOM_ITEMS

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
        if packed.size > self._assignment.max_message:
            raise MessageTooLargeError(packed.size, self._assignment.max_message)
        described, bound = packed.weight - packed.size, self._most_bytes // 2
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
        place: Place | None = None
        most, most_bytes = max(self.limits, default=1), self._most_bytes
        items = self._items
        while items:
            item = items[0]
            if type(item) is tuple:
                added = item[1].weight
                if messages and (weight + added > most_bytes or len(messages) >= most):
                    break
                weight += added
                messages.append(item)
            elif type(item) is Delivery:
                work.settled.append(item)
            elif type(item) is Place:
                place = item
            elif type(item) is Store and len(work.then) < STORES_AT_ONCE:
                work.then.append(item)
            else:
                break
            items.popleft()
        self._bytes_out += weight
        work.first, batches = self.stores(messages)
        work.then[:0] = batches
        if place is not None:
            work.after = self.locate(place.mark)
        return work

    def stores(self, messages: Sequence[Sent]) -> tuple[list[Store], list[Store]]:
        """The blobs to store first, and the batches that refer to them or hold the messages themselves, in order."""
        blobs_first: list[Store] = []
        batches: list[Store] = []
        for (index, part), group in self._lanes(messages).items():
            output = self._assignment.outputs[index]
            for whole, batch in self._cut(group, self.limits[index]):
                if whole:
                    batches.append(self._reference(output, part, batch[0], blobs_first))
                else:
                    batches.append(self._batch(output, part, batch))
        return blobs_first, batches

    def _lanes(self, messages: Sequence[Sent]) -> dict[tuple[int, int], list[Packed]]:
        """The messages by output and partition: within one, their order holds."""
        outputs = self._assignment.outputs
        if len(outputs) == 1 and outputs[0].partitions == 1:
            return {(0, 0): [packed for _, packed in messages]} if messages else {}
        lanes: dict[tuple[int, int], list[Packed]] = {}
        for index, packed in messages:
            lanes.setdefault((index, partition(packed.id, outputs[index].partitions)), []).append(packed)
        return lanes

    def _cut(self, group: list[Packed], limit: int) -> Iterable[tuple[bool, list[Packed]]]:
        """The group in batches that fit; True beside a message that fits into no batch."""
        room, largest = self._most_bytes, self._assignment.max_payload - HEADROOM
        if len(group) <= limit and sum([packed.weight for packed in group]) <= room:
            yield False, group
            return
        batch: list[Packed] = []
        weight = 0
        for packed in group:
            whole = packed.weight > largest
            if batch and (whole or len(batch) >= limit or weight + packed.weight > room):
                yield False, batch
                batch, weight = [], 0
            if whole:
                yield True, [packed]
            else:
                batch.append(packed)
                weight += packed.weight
        if batch:
            yield False, batch

    def _batch(self, output: Output, part: int, group: list[Packed]) -> Store:
        name = wire.batch_id([packed.id for packed in group])
        return Store(self._names.messages(output.stream, part), wire.encode(group), name, wire=True)

    def _reference(self, output: Output, part: int, packed: Packed, blobs_first: list[Store]) -> Store:
        """One copy of the data for each edge, and a batch that says where it is."""
        limit = self._assignment.max_payload
        reference = Reference(f"{output.stream}-{short_hash(packed.id)}", len(blobs.pieces(packed.data, limit)))
        for edge in output.edges:
            blobs_first += blobs.stores(reference.subjects(self._names, edge), packed.data, limit)
        payload = wire.encode([packed._replace(data=b"", size=0)], reference.to_value())
        return Store(self._names.messages(output.stream, part), payload, wire.batch_id([packed.id]), wire=True)

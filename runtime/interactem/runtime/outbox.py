"""What a replica has to store: a queue that the kernel's thread fills and the transport's thread empties.

The transport takes all that has gathered whenever it is free. So a message goes out at once while there is no queue,
and under load the batches grow by themselves, up to their limits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from interactem.runtime import wire
from interactem.runtime.assignment import Assignment, Output
from interactem.runtime.errors import MessageTooLargeError
from interactem.runtime.ids import partition
from interactem.runtime.subjects import Names, short_hash
from interactem.runtime.transports import Delivery, Store, Work
from interactem.runtime.wire import Packed

BATCH_BYTES = 262_144
BATCH_MESSAGES = 1_024
BATCH_SECONDS = 0.05
"""How long the slowest kernel that reads a batch may take for it, about."""
HEADROOM = 16_384
"""What a NATS message needs beside the messages in it, at most."""
STORES_AT_ONCE = 64
_ROOM_BYTES = 4 * 2**20
_ROOM_ITEMS = 16_384


@dataclass(frozen=True, slots=True)
class Place:
    """How far a source has come once everything put before is stored: kept in its record, the latest alone."""

    subject: str
    encode: Callable[[], bytes]


Item = tuple[int, Packed] | Delivery | Store | Place | Work


def batch_limit(kernel_seconds: Iterable[float]) -> int:
    """Messages in a batch, for readers whose kernels take so long for one; 1 while any of them has not said (0)."""
    slowest = 0.0
    for seconds in kernel_seconds:
        if seconds <= 0:
            return 1
        slowest = max(slowest, seconds)
    return BATCH_MESSAGES if slowest == 0 else max(1, min(BATCH_MESSAGES, int(BATCH_SECONDS / slowest)))


class Outbox:
    """See the module. 

    `limits` holds each output's messages in a batch, `lingers` says that the readers are behind anyway, so that
    batches may take a little time to grow. Whoever hears from the readers sets both.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.limits = [1] * len(assignment.outputs)
        self.lingers = False
        self.wake: Callable[[], None] = lambda: None
        self._assignment = assignment
        self._names = Names(assignment.run)
        self._items: deque[Item] = deque()
        self._room = threading.Condition()
        self._bytes_in = 0
        self._bytes_out = 0
        self._blocked = False
        self._error: Exception | None = None

    # what the replica's thread does

    def put(self, item: Item) -> None:
        if type(item) is tuple:
            self._bytes_in += item[1].weight
        self._items.append(item)
        self.wake()

    def wait_for_room(self, timeout: float) -> bool:
        """Whether there is room for more, within `timeout` seconds: full means that the broker is the slower one.

        Raises what the transport failed with.
        """
        if self._has_room():
            return True
        with self._room:
            self._blocked = True
            self._room.wait_for(lambda: self._error or self._has_room(), timeout)
        self.check()
        return self._has_room()

    def check(self) -> None:
        """Raises what the transport failed with, if it has."""
        if self._error is not None:
            raise self._error

    def _has_room(self) -> bool:
        return self._bytes_in - self._bytes_out < _ROOM_BYTES and len(self._items) < _ROOM_ITEMS

    def check_size(self, packed: Packed) -> None:
        """Raises `MessageTooLargeError` for a message that cannot be stored, so that its author hears of it."""
        described = packed.weight - packed.size
        if packed.size > self._assignment.max_message:
            raise MessageTooLargeError(packed.size, self._assignment.max_message)
        if described > self._assignment.max_payload // 2:
            raise MessageTooLargeError(described, self._assignment.max_payload // 2, "meta and tracking")

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
        work = Work()
        if isinstance(items[0], Work):
            work = items.popleft()  # type: ignore[assignment]  # the item just looked at
        else:
            self._fill(work)
        if self._blocked and self._has_room():
            with self._room:
                self._blocked = False
                self._room.notify_all()
        return work

    def _fill(self, work: Work) -> None:
        """Move as many items into `work` as one batch may hold."""
        items = self._items
        messages: list[tuple[int, Packed]] = []
        weight = 0
        place: Place | None = None
        most = max(self.limits, default=1)
        while items:
            item = items[0]
            if isinstance(item, tuple):
                if messages and (weight + item[1].weight > BATCH_BYTES or len(messages) >= most):
                    break
                weight += item[1].weight
                messages.append(item)
            elif isinstance(item, Delivery):
                work.settled.append(item)
            elif isinstance(item, Place):
                place = item
            elif isinstance(item, Store):
                if len(work.then) >= STORES_AT_ONCE:
                    break
                work.then.append(item)
            else:
                break
            items.popleft()
        self._bytes_out += weight
        work.first, batches = self.stores(messages)
        work.then[:0] = batches
        if place is not None:
            work.after = Store(place.subject, place.encode())

    def stores(self, messages: list[tuple[int, Packed]]) -> tuple[list[Store], list[Store]]:
        """The blobs to store first, and the batches that refer to them or hold the messages themselves, in order."""
        blobs: list[Store] = []
        batches: list[Store] = []
        groups: dict[tuple[int, int], list[Packed]] = {}
        sizes: dict[tuple[int, int], int] = {}
        for index, packed in messages:
            output = self._assignment.outputs[index]
            key = (index, partition(packed.id, output.partitions))
            group = groups.setdefault(key, [])
            whole = packed.weight + HEADROOM > self._assignment.max_payload
            if group and (
                whole or len(group) >= self.limits[index] or sizes.get(key, 0) + packed.weight > BATCH_BYTES
            ):
                batches.append(self._batch(output, key[1], group))
                group.clear()
                sizes[key] = 0
            if whole:
                batches.append(self._reference(output, key[1], packed, blobs))
            else:
                group.append(packed)
                sizes[key] = sizes.get(key, 0) + packed.weight
        for (index, part), group in groups.items():
            if group:
                batches.append(self._batch(self._assignment.outputs[index], part, group))
        return blobs, batches

    def _batch(self, output: Output, part: int, group: list[Packed]) -> Store:
        name = wire.batch_id([packed.id for packed in group])
        return Store(self._names.messages(output.stream, part), wire.encode(group), name, wire=True)

    def _reference(self, output: Output, part: int, packed: Packed, blobs: list[Store]) -> Store:
        """One copy for each edge, which whoever reads that edge removes."""
        chunk = self._assignment.max_payload - HEADROOM
        view = memoryview(packed.data)
        starts = range(0, packed.size, chunk)
        blob = f"{output.stream}-{short_hash(packed.id)}"
        for edge in output.edges:
            for number, start in enumerate(starts):
                subject = self._names.blob(f"{blob}-{edge}", number)
                blobs.append(Store(subject, bytes(view[start : start + chunk])))
        about = {"blob": blob, "chunks": len(starts)}
        empty = packed._replace(data=b"", size=0)
        return Store(
            self._names.messages(output.stream, part), wire.encode([empty], about), wire.batch_id([packed.id]), wire=True
        )

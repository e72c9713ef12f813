"""Effects: what outlasts a message, stored as one with the ids of the messages that had it.

A replica has effects if it is a sink or its kernel uses `context.state`. It then keeps what it makes until the next
checkpoint, which holds the state, the ids applied, and what is to be sent because of them; only then is that sent, and
only then are the deliveries settled. Whatever crashes in between, the next incarnation finds either all of it or none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgpack

from interactem.runtime import blobs
from interactem.runtime import checkpoint as checkpoints
from interactem.runtime.applied import AppliedIds
from interactem.runtime.assignment import Assignment
from interactem.runtime.batches import Batch
from interactem.runtime.blobs import HEADROOM, LOOSE, Reference, pack_references, unpack_references
from interactem.runtime.checkpoint import Checkpoint
from interactem.runtime.context import Context
from interactem.runtime.errors import StateTooLargeError
from interactem.runtime.ids import Series
from interactem.runtime.outbox import BATCH_BYTES, Outbox, Sent
from interactem.runtime.segments import Segments
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Delivery, Store, Transport, Work

COMMIT_DELIVERIES = 128
COMMIT_BYTES = 8 * BATCH_BYTES
COMMIT_SECONDS = 0.02
"""While more is waiting anyway, a checkpoint covers what comes in this time."""
PINNED_BYTES = 8 * 2**20
"""With so much shared memory waiting for it, a checkpoint is made at once: its producer has little."""
LARGE_STATE = 65_536
BREATHER = 10.0
"""After a large state was stored, it is left alone for so many times the time that it took."""

Applied = tuple[Delivery, range]
"""The messages of a delivery, by their indexes, that the kernel has been given."""


def ranges(indexes: Iterable[int]) -> list[range]:
    """Rising indexes as ranges."""
    found: list[range] = []
    for index in indexes:
        if found and found[-1].stop == index:
            found[-1] = range(found[-1].start, index + 1)
        else:
            found.append(range(index, index + 1))
    return found


@dataclass(slots=True)
class _Pending:
    """What was done since the last checkpoint."""

    applied: list[Applied] = field(default_factory=list)
    messages: list[Sent] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    settled: list[Delivery] = field(default_factory=list)
    purge: list[str] = field(default_factory=list)
    weight: int = 0
    first: list[Store] = field(default_factory=list)
    """What is stored before all else."""
    pinned: int = 0
    """Bytes of shared memory that nobody can use until the deliveries are settled."""

    def __bool__(self) -> bool:
        return bool(self.settled or self.messages or self.stores or self.first)


class Effects:
    """One replica's effects. `checkpoint` is the last one, with what has been applied since."""

    def __init__(self, assignment: Assignment, context: Context, outbox: Outbox, transport: Transport) -> None:
        self._assignment = assignment
        self._context = context
        self._outbox = outbox
        self._transport = transport
        self._names = Names(assignment.run)
        self._record = self._names.record(assignment.operator, context.replica, "checkpoint")
        self._loose = self._names.record(assignment.operator, context.replica, LOOSE)
        self._partitions = {entry.edge: entry.ways for entry in assignment.inputs}
        self.checkpoint = Checkpoint(applied=AppliedIds(self._partitions))
        self._snapshot = checkpoints.encode_state({})
        self._apart: list[Reference] = []  # of the checkpoint itself, where it is large
        self.tables = context._tables
        self._segments = Segments(self.tables, self._pieces, assignment.max_payload, assignment.max_state)
        self.restored = False
        """Whether there was an earlier incarnation that left a checkpoint."""
        self._pending = _Pending()
        self._stored = threading.Event()
        self._stored.set()
        self._commit_at = 0.0
        self._urgent = False

    @property
    def active(self) -> bool:
        return self._assignment.is_sink or self._context.state_used

    # which messages had their effect

    def unseen(self, batch: Batch) -> list[range]:
        """The indexes of the messages that have had no effect yet."""
        edge, applied = batch.delivery.edge, self.checkpoint.applied
        if not self.active or (len(batch.runs) == 1 and applied.is_new(edge, batch.runs[0])):
            return [range(len(batch.ids))]
        first: dict[tuple[Series, int], int] = {}  # a message computed twice may stand in one batch twice
        for index, message_id in enumerate(batch.ids):
            if message_id not in first and not applied.seen(edge, *message_id):
                first[message_id] = index
        return ranges(first.values())

    def apply(self, batch: Batch, indexes: range) -> None:
        """The kernel has been given these messages."""
        for run in batch.runs_in(indexes):
            self.checkpoint.applied.add_run(batch.delivery.edge, run)
        if self._context.state_used:
            self._pending.applied.append((batch.delivery, indexes))

    def give_up(self, batch: Batch, index: int) -> None:
        """A message is a dead letter, before all else in its delivery is done with: it is not to be tried again.

        The letter is stored before the checkpoint that says so.
        """
        if self.active:
            pending = self._pending
            pending.first, pending.stores = pending.first + pending.stores, []
            self.checkpoint.applied.add(batch.delivery.edge, *batch.ids[index])

    # what is kept until the next checkpoint

    def keep(self, messages: Sequence[Sent], weight: int) -> None:
        self._pending.messages += messages
        self._pending.weight += weight

    def store(self, item: Store, before: Sequence[Store] = ()) -> None:
        """Have something stored before the delivery that it comes from is settled, and others `before` it."""
        if self.active:
            self._pending.first += before
            self._pending.stores.append(item)
            return
        if before:
            self._outbox.put(Work(list(before)))
        self._outbox.put(item)

    def settle(self, delivery: Delivery, purge: Sequence[str]) -> None:
        self._pending.settled.append(delivery)
        self._pending.purge += purge
        self._pending.pinned += sum([lease.size for lease in delivery.leases])

    # state

    def roll_back(self, apply: Callable[[Applied], None]) -> int:
        """After a failed call: bring the state back to what it was before it. Returns how many messages are unmade.

        A kernel that fails may have changed half of its state. The last checkpoint plus the messages applied since
        then is the state that it should have: `apply` gives them to the kernel again and keeps what it makes.
        """
        if not self._context.state_used:
            return 0
        applied, self._pending.applied = self._pending.applied, []
        unmade = len(self._pending.messages)
        self._pending.messages, self._pending.weight = [], 0
        self._context._state = checkpoints.decode_state(self._snapshot)
        self._context._roll_back()
        for one in applied:
            apply(one)
        self._urgent = True
        return unmade

    def restart_state(self) -> None:
        """Bring the state back to what is in the last checkpoint; in place, as a generator may hold it."""
        if self._context.state_used:
            self._context._state.clear()
            self._context._state.update(checkpoints.decode_state(self._snapshot))
            self._context._roll_back()

    def snapshot(self) -> bytes:
        """The state as it is now, encoded: what `restart_state` goes back to."""
        if self._context.state_used:
            self._snapshot = checkpoints.encode_state(self._context._state)
        return self._snapshot

    @property
    def snapshot_bytes(self) -> bytes:
        """The last snapshot."""
        return self._snapshot

    # checkpoints

    @property
    def patience(self) -> float | None:
        """Seconds until a checkpoint is to be made; None where none is."""
        if not self._pending or not self._stored.is_set():
            return None
        return max(0.0, self._commit_at - time.monotonic())

    def commit_if_due(self, *, more: bool, at_rest: bool = False) -> None:
        """Make a checkpoint if it is time; `more` says that messages are waiting, `at_rest` that none are to come."""
        if not self._pending:
            return
        pending = self._pending
        full = len(pending.settled) >= COMMIT_DELIVERIES or pending.weight > COMMIT_BYTES
        full = full or pending.pinned > self._assignment.most_kept > 0
        if full:
            self.wait()
        if not self._stored.is_set():
            return
        due = self._commit_at + (COMMIT_SECONDS if more and pending.pinned < PINNED_BYTES else 0.0)
        if full or self._urgent or at_rest or time.monotonic() >= due:
            self.commit()

    def wait(self) -> None:
        """Until the last checkpoint and what belongs to it is stored. Raises what the transport failed with."""
        while not self._stored.wait(0.5):
            self._outbox.check()

    def commit_pending(self) -> None:
        if self._pending:
            self.wait()
            self.commit()

    def commit(self) -> None:
        """Store state, applied ids and what is to be sent as one; then send; then settle."""
        started = time.monotonic()
        self.snapshot()
        pending, self._pending = self._pending, _Pending()
        self._urgent = False
        data, batches = self._outbox.stores(pending.messages)
        self.checkpoint.outbox = [(store.subject, store.payload, store.id or "") for store in batches]
        first, old = self._stores()
        size = len(self._snapshot) + self._segments.stored_last + self.checkpoint.applied.weight
        self._stored.clear()

        def done() -> None:
            # a large state takes long to store: no more than a part of the time goes into it
            now = time.monotonic()
            self._commit_at = now + (BREATHER * (now - started) if size > LARGE_STATE else 0.0)
            self._stored.set()

        then = batches + pending.stores
        self._outbox.put(
            Work(pending.first + data + first, then, pending.settled, purge=pending.purge, drop=old, done=done)
        )

    def store_now(self) -> None:
        """Store the checkpoint before whatever is put into the outbox next."""
        first, old = self._stores()
        self._outbox.put(Work(first, drop=old))

    def _stores(self) -> tuple[list[Store], list[str]]:
        """The checkpoint as it is stored, in pieces where it is large, and the pieces of the one before."""
        self._context._settle_kept()
        before, old = self._segments.store()
        new = self._segments.references[-1:] if before else []
        self.checkpoint.tables = self._segments.to_value()
        encoded = checkpoints.encode(self.checkpoint, self._snapshot)
        if len(self._snapshot) > self._assignment.max_state:
            raise StateTooLargeError(len(self._snapshot), self._assignment.max_state)
        limit = self._assignment.max_payload
        old, self._apart = [*old, *self._apart], []
        if len(encoded) > limit - HEADROOM:
            # never under the name of an earlier one, which is removed while this one is written
            reference = Reference(f"c-{time.time_ns():x}", len(blobs.pieces(encoded, limit)))
            self._apart = [reference]
            before += blobs.stores(self._pieces(reference), encoded, limit, kept=True)
            encoded = msgpack.packb(reference.to_value())
        loose = [*old, *new, *self._apart]
        if sum(reference.chunks for reference in loose) > 1:
            # whoever comes after a crash, now or before all of the old is removed, knows what may be left over
            before = [Store(self._loose, pack_references(loose), kept=True), *before]
        return [*before, Store(self._record, encoded)], self._all_pieces(old)

    def _all_pieces(self, references: Sequence[Reference]) -> list[str]:
        return [subject for reference in references for subject in self._pieces(reference)]

    def _pieces(self, reference: Reference) -> list[str]:
        return reference.pieces(self._names, self._assignment.operator, self._context.replica)

    def read(self, payload: bytes) -> None:
        """Take up the checkpoint of an earlier incarnation; what it was about to send is sent."""
        value = msgpack.unpackb(payload, strict_map_key=False)
        if isinstance(value, dict) and (reference := Reference.of(value)) is not None:
            self._apart = [reference]
            payload = self._transport.read_blob(self._pieces(reference))
        self.restored = True
        self.checkpoint = checkpoint = checkpoints.decode(payload, self._partitions)
        self._context._state = checkpoint.state
        self._segments.read(checkpoint.tables, self._transport.read_blob)
        if checkpoint.state or any(self.tables) or (checkpoint.applied and not self._assignment.is_sink):
            self._context.state_used = True
        self._snapshot = checkpoints.encode_state(checkpoint.state)
        if checkpoint.outbox:
            stores = [
                Store(subject, payload, name, wire=True, line=self._outbox.line(subject))
                for subject, payload, name in checkpoint.outbox
            ]
            self._outbox.put(Work(then=stores))

    def clear(self, loose: bytes) -> None:
        """Remove what an earlier incarnation stored, or had to remove, when it died, and no checkpoint refers to."""
        referred = [*self._segments.references, *self._apart]
        left = [reference for reference in unpack_references(loose) if reference not in referred]
        if left:
            self._outbox.put(Work(drop=self._all_pieces(left)))

    def resume(self, *, ended: bool) -> None:
        """Unless the stream has `ended`, it goes on: its end comes once more."""
        self.checkpoint.finished = self.checkpoint.finished and ended

    def forget(self, source: str, watermark: int) -> None:
        self.checkpoint.applied.forget(source, watermark)

"""Deliveries: opened, looked at, and settled once all is done with what is in them. `Inputs` and `Flights` do that."""

from __future__ import annotations

import time

from interactem.runtime.assignment import Assignment
from interactem.runtime.batches import Batch
from interactem.runtime.calls import Caller
from interactem.runtime.context import Context
from interactem.runtime.effects import Effects
from interactem.runtime.errors import ArenaLostError, WireError
from interactem.runtime.failures import Failure, is_last
from interactem.runtime.hearing import Hearing
from interactem.runtime.outbox import Outbox
from interactem.runtime.packing import Packing
from interactem.runtime.retries import Retries
from interactem.runtime.sampling import Sampler
from interactem.runtime.slot import Slot
from interactem.runtime.statistics import Counts
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Delivery, Transport, Work
from interactem.runtime.views import Lease, Views

RETRY_BACKLOG = 10_000
"""With so many messages waiting to be tried again, a failing one is tried again at once, so that the store lasts."""


class Deliveries:
    """What becomes of a delivery apart from what the kernel makes of it."""

    def __init__(
        self,
        assignment: Assignment,
        caller: Caller,
        packing: Packing,
        transport: Transport,
        context: Context,
        hearing: Hearing,
        outbox: Outbox,
        effects: Effects,
        retries: Retries,
        counts: Counts,
        slot: Slot,
        views: Views,
    ) -> None:
        self._assignment = assignment
        self._names = Names(assignment.run)
        self._ports = {entry.edge: entry.port for entry in assignment.inputs}
        self._caller = caller
        self._packing = packing
        self._transport = transport
        self._context = context
        self._hearing = hearing
        self._outbox = outbox
        self._effects = effects
        self._retries = retries
        self._counts = counts
        self._slot = slot
        self._views = views
        self._leases: list[Lease] = []  # of what the kernel is given
        self._index = 0  # of the message that the kernel was given last, in its batch
        self._waited = 0.0
        self._sampler = Sampler(counts)

    def _count(self, batch: Batch) -> None:
        counts, delivery = self._counts, batch.delivery
        counts.received += len(batch.messages)
        counts.received_bytes += batch.size
        counts.waiting = delivery.backlog
        if delivery.stored and not delivery.retry:  # which has been waiting for its time
            counts.transport_times.record(time.time() - delivery.stored)

    def _open(self, delivery: Delivery) -> Batch | None:
        """The delivery's batch, or None where there is nothing to do with it now."""
        try:
            batch = Batch.open(delivery, self._ports[delivery.edge])
        except WireError as error:
            self._bury_unreadable(delivery, error)
            return None
        if delivery.retry and (delay := self._retries.too_early(batch)) > 0:
            self._transport.defer(delivery, delay)
            return None
        if batch.reference is not None and not self._fetch(batch):
            self._settle(batch, kept=False)
            return None
        try:
            if batch.references is not None and not self._look(batch):
                return None
        except WireError as error:
            self._bury_unreadable(delivery, error)
            return None
        self._leases = batch.leases
        return batch

    def _bury_unreadable(self, delivery: Delivery, error: WireError) -> None:
        self._retries.bury_unreadable(delivery, error)
        self._settle(Batch(delivery, "", [], [], []), kept=True)

    def _look(self, batch: Batch) -> bool:
        """Fill in data that is in shared memory; False where the batch is not to be worked off.

        Then it was done, or it is sent again after a loss. Raises `ArenaLostError` where what nobody has done is gone.
        """
        self._check_sender(batch)
        lost = ""
        try:
            if batch.look(self._views):
                return True
            # a block is free when every edge's acknowledgement was certain; a broker that is killed forgets those of
            # its last tenth of a second, and hands out again what was done
            if self._effects.active:
                lost = "its block is used for something else"  # unless it had its effect, nobody has done it
        except ArenaLostError as error:
            lost = str(error)
        if lost and not self._effects.unseen(batch):
            return True  # nobody needs the data
        if lost and not self._hearing.recomputed:
            names = ", ".join(batch.id(index) for index in range(min(3, len(batch.ids))))
            more = f" and {len(batch.ids) - 3} more" if len(batch.ids) > 3 else ""
            raise ArenaLostError(f"input {batch.port}: the data of {names}{more} is gone: {lost}")
        if not lost:
            self._context.logger.info("%s came once more after it was done; dropped", batch.id(0))
        self._settle(batch, kept=True)
        return False

    def _check_sender(self, batch: Batch) -> None:
        """Raises `WireError` where a batch refers to shared memory of others than those who send on its edge."""
        found = batch.references
        [entry] = [entry for entry in self._assignment.inputs if entry.edge == batch.delivery.edge]
        if found is not None and (found.operator != entry.sender or found.replica >= entry.senders):
            raise WireError("a reference points into an arena of somebody else")

    def _check(self) -> None:
        """Before anything leaves: whether what the kernel has looked at was meant for it.

        Raises `OvertakenError` where it was not.
        """
        if self._leases or self._views.kept:
            self._views.check(self._leases)

    def _stand(self) -> float:
        """Wait for room in the outbox, maybe in the middle of a call: neither its time nor an attempt at its message.

        Returns the seconds that it took.
        """
        if not self._outbox.full:
            return 0.0
        current, caller = self._slot.current, self._caller
        number, armed = current[0], caller.armed
        current[0] = 0
        caller.disarm()
        waited = self._hearing.wait_for_room()
        current[0] = number
        if armed:
            caller.arm()
        return waited

    def _fetch(self, batch: Batch) -> bool:
        """Fill in data that is stored apart; False where it is not needed any more."""
        edge = batch.delivery.edge
        if batch.reference is None or not self._effects.unseen(batch):
            return False
        try:
            batch.fill(self._transport.read_blob(batch.reference.subjects(self._names, edge)))
        except KeyError:
            # it is stored before its reference, and removed once the message is settled for good: this one is a copy
            self._context.logger.info("message %s came once more after it was done; dropped", batch.id(0))
            return False
        return True

    def _settle(self, batch: Batch, *, kept: bool) -> None:
        """Nobody needs the delivery any more; what it refers to neither, unless it is `kept`."""
        purge = []
        if batch.reference is not None and not kept:
            purge = batch.reference.subjects(self._names, batch.delivery.edge)
        if self._effects.active:
            self._effects.settle(batch.delivery, purge)
        elif purge:
            self._outbox.put(Work(settled=[batch.delivery], purge=purge))
        else:
            self._outbox.put(batch.delivery)

    def _crash_of(self, batch: Batch, index: int) -> Failure | None:
        """The attempt at a message that ended the process, where nobody has counted it yet."""
        crash = self._hearing.crashes.get((batch.delivery.edge, batch.id(index)))
        return crash if crash is not None and crash.attempts > batch.failed else None

    def _is_tried_at_once(self, batch: Batch, failure: Failure) -> bool:
        delivery = batch.delivery
        crowded = delivery.retry and delivery.backlog >= RETRY_BACKLOG
        return crowded and not is_last(failure.attempts, self._assignment.max_attempts)

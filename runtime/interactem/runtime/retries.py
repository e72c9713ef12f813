"""Messages that failed go their own way, so that their neighbours neither wait nor suffer.

To the retry stream, with a time before which they are not tried again; after their last attempt to the dead letters,
with error, traceback and the number of attempts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from interactem.runtime import blobs, wire
from interactem.runtime.assignment import Assignment
from interactem.runtime.batches import Batch
from interactem.runtime.blobs import HEADROOM, Reference
from interactem.runtime.errors import WireError
from interactem.runtime.failures import Failure, backoff, is_last
from interactem.runtime.ids import Series, file, text
from interactem.runtime.messages import BytesMessage
from interactem.runtime.reports import FailureLog, Reporter
from interactem.runtime.subjects import Names, short_hash
from interactem.runtime.transports import Delivery, Store

_DESCRIBED = 2**17
"""More than meta and tracking of a message may take."""


class Retries:
    """`store` takes what is to be stored before the message's delivery is settled, and what comes before that."""

    def __init__(
        self,
        assignment: Assignment,
        replica: int,
        reporter: Reporter,
        log: FailureLog,
        store: Callable[[Store, Sequence[Store]], None],
        clock: Callable[[], float],
    ) -> None:
        self._assignment = assignment
        self._names = Names(assignment.run)
        self._parts = {entry.edge: (entry, entry.partition(replica)) for entry in assignment.inputs}
        self._reporter = reporter
        self._counts = reporter.counts
        self._log = log
        self._store = store
        self._clock = clock

    def too_early(self, batch: Batch) -> float:
        """Seconds before which a batch is not to be tried again."""
        return batch.not_before - self._clock()

    def log(self, what: str, failure: Failure) -> None:
        self._log.log(what, failure)

    def set_aside(
        self,
        batch: Batch,
        index: int,
        failure: Failure,
        check: Callable[[], None] = lambda: None,
        *,
        alone: bool = False,
    ) -> None:
        """A message, as it came, is tried again later, or never again; `alone` where it may not be its own fault.

        What lies in shared memory is copied; `check` raises where it was not what it should be.
        """
        message, message_id = batch.untouched(index), batch.ids[index]
        told: dict[str, Any] = {"failure": failure.to_value(), "redriven": batch.redriven}
        edge, before = batch.delivery.edge, []
        if batch.reference is not None:
            told |= batch.reference.to_value()
            message.data = b""
        elif batch.leases:
            message.data = bytes(message.data)
            check()
            before = self._apart(edge, message, message_id, told)
        if is_last(failure.attempts, self._assignment.max_attempts):
            self._bury(edge, message, message_id, told, before)
            return
        self._counts.retried += 1
        told["not_before"] = self._clock() + backoff(failure.attempts)
        if alone or batch.alone:
            told["alone"] = True
        subject = self._names.retry(edge, self._parts[edge][1])
        # hashed, as an id is text of another operator's
        name = f"{edge}:{short_hash(text(*message_id))}#{failure.attempts}{'+' if alone else ''}:{batch.redriven}"
        self._store(Store(subject, _envelope(message, message_id, told), name, wire=True), before)
        self._reporter.event("failure", {"id": text(*message_id), **failure.to_value()})

    def in_its_place(self, batch: Batch, index: int, failure: Failure) -> float:
        """A message is tried again without leaving its place; the seconds to wait before."""
        self._counts.retried += 1
        self._reporter.event("failure", {"id": batch.id(index), **failure.to_value()})
        return backoff(failure.attempts)

    def _apart(
        self, edge: int, message: BytesMessage, message_id: tuple[Series, int], told: dict[str, Any]
    ) -> list[Store]:
        """The data of a message that is too large for one NATS message, to be stored before what refers to it."""
        data, limit = message.data, self._assignment.max_payload
        if len(data) <= limit - _DESCRIBED - HEADROOM:
            return []
        # a name for each time: an earlier one of the same message may be on its way out
        name = f"a-{short_hash(text(*message_id))}-{time.time_ns():x}"
        reference = Reference(name, len(blobs.pieces(data, limit)))
        told |= reference.to_value()
        message.data = b""
        return blobs.stores(reference.subjects(self._names, edge), data, limit)

    def bury(self, edge: int, message: BytesMessage, message_id: tuple[Series, int], failure: Failure) -> None:
        """A message that is held apart from its batch is a dead letter."""
        told: dict[str, Any] = {"failure": failure.to_value(), "redriven": 0}
        self._bury(edge, message, message_id, told, self._apart(edge, message, message_id, told))

    def bury_unreadable(self, delivery: Delivery, error: WireError) -> None:
        """A payload that is not a batch: a dead letter as it is, under the number that the broker gave it."""
        name = f"unreadable-{delivery.sequence}{'-retry' if delivery.retry else ''}"
        failure = Failure.of(error, 1)
        self._log.log(f"batch {name}", failure)
        room = self._assignment.max_payload - 2 * HEADROOM
        raw = BytesMessage(data=delivery.payload[: max(0, room)])
        self._bury(delivery.edge, raw, file(name), {"failure": failure.to_value(), "unreadable": True})

    def _bury(
        self,
        edge: int,
        message: BytesMessage,
        message_id: tuple[Series, int],
        told: dict[str, Any],
        before: Sequence[Store] = (),
    ) -> None:
        entry, part = self._parts[edge]
        self._counts.dead += 1
        where = {"operator": self._assignment.name, "port": entry.port, "edge": edge, "partition": part}
        told |= {**where, "time": self._clock()}
        name = text(*message_id)
        self._store(Store(self._names.dead(edge, name), _envelope(message, message_id, told), wire=True), before)
        self._reporter.event("dead", {"id": name, **told["failure"]})


def _envelope(message: BytesMessage, message_id: tuple[Series, int], told: dict[str, Any]) -> bytes:
    return wire.encode([wire.pack(message, *message_id)], told)

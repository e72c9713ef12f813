"""Messages that failed go their own way, so that their neighbours neither wait nor suffer.

To the retry stream, with a time before which they are not tried again; after their last attempt to the dead letters,
with error, traceback and the number of attempts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interactem.runtime import wire
from interactem.runtime.assignment import Assignment
from interactem.runtime.batches import Batch
from interactem.runtime.blobs import HEADROOM
from interactem.runtime.errors import WireError
from interactem.runtime.failures import Failure, backoff, is_last
from interactem.runtime.messages import BytesMessage
from interactem.runtime.reports import FailureLog, Reporter
from interactem.runtime.subjects import Names, short_hash
from interactem.runtime.transports import Delivery, Store


class Retries:
    """`store` takes what is to be stored before the message's delivery is settled."""

    def __init__(
        self,
        assignment: Assignment,
        replica: int,
        reporter: Reporter,
        log: FailureLog,
        store: Callable[[Store], None],
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

    def set_aside(self, batch: Batch, message: BytesMessage, failure: Failure) -> None:
        """`message`, as it came, is tried again later, or never again."""
        told: dict[str, Any] = {"failure": failure.to_value(), "redriven": batch.redriven}
        if batch.reference is not None:
            told |= batch.reference.to_value()
            message.data = b""
        edge = batch.delivery.edge
        if is_last(failure.attempts, self._assignment.max_attempts):
            self._bury(edge, message, told)
            return
        self._counts.retried += 1
        told["not_before"] = self._clock() + backoff(failure.attempts)
        subject = self._names.retry(edge, self._parts[edge][1])
        # hashed, as an id is text of another operator's
        name = f"{edge}:{short_hash(message.id or '')}#{failure.attempts}:{batch.redriven}"
        self._store(Store(subject, _envelope(message, told), name, wire=True))
        self._reporter.event("failure", {"id": message.id, **failure.to_value()})

    def bury_unreadable(self, delivery: Delivery, error: WireError) -> None:
        """A payload that is not a batch: a dead letter as it is, under the number that the broker gave it."""
        name = f"unreadable-{delivery.sequence}{'-retry' if delivery.retry else ''}"
        failure = Failure.of(error, 1)
        self._log.log(f"batch {name}", failure)
        room = self._assignment.max_payload - 2 * HEADROOM
        raw = BytesMessage(data=delivery.payload[: max(0, room)], id=name)
        self._bury(delivery.edge, raw, {"failure": failure.to_value(), "unreadable": True})

    def _bury(self, edge: int, message: BytesMessage, told: dict[str, Any]) -> None:
        entry, part = self._parts[edge]
        self._counts.dead += 1
        where = {"operator": self._assignment.name, "port": entry.port, "edge": edge, "partition": part}
        told |= {**where, "time": self._clock()}
        subject = self._names.dead(edge, message.id or "")
        self._store(Store(subject, _envelope(message, told), wire=True))
        self._reporter.event("dead", {"id": message.id, **told["failure"]})


def _envelope(message: BytesMessage, told: dict[str, Any]) -> bytes:
    return wire.encode([wire.pack(message, message.id or "")], told)

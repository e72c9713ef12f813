"""What carries batches between replicas. `Transport` is the contract; `memory` and `nats` keep it alike.

A transport moves bytes and knows nothing of kernels, retries or state: those are the replica's. It owes this:

- A delivery is handed out again until it is settled, by this replica or another one of the operator.
- What the outbox holds is stored in its order, each piece of work after the one before it. A piece of work settles its
  deliveries only after everything in it is stored. What is refused because a store is full, or lost with a
  connection, is stored again under the same id for as long as it takes.
- Records are the last payload stored under their subject.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from interactem.runtime.histograms import Histogram

if TYPE_CHECKING:
    from interactem.runtime.outbox import Outbox
    from interactem.runtime.views import Lease


MOST_HELD_IN_ORDER = 128
"""So many batches of an edge that keeps its order are handed out at most before one is settled."""


@dataclass(slots=True)
class Delivery:
    """A batch handed to this replica. `token` is the transport's own way to know it again."""

    edge: int
    payload: bytes
    format: str | None
    token: Any
    sequence: int = 0
    retry: bool = False
    backlog: int = 0
    """How many batches wait behind it, where the transport knows."""
    stored: float = 0.0
    """When it was stored, in seconds since 1970; 0 where the transport does not know."""
    leases: Sequence[Lease] = ()
    """The blocks of shared memory that it refers to, once it was looked at."""


@dataclass(slots=True)
class Record:
    """Something that the engine says. What readers say of their speed goes to the outbox itself."""

    subject: str
    payload: bytes


@dataclass(slots=True)
class Store:
    """A payload to be stored under a subject; `id` lets the broker drop what it already has."""

    subject: str
    payload: bytes
    id: str | None = None
    wire: bool = False
    """Whether the payload is a batch, to be marked with the wire format."""
    kept: bool = False
    """Whether it is part of what a replica keeps, which nobody makes room for: after a while it is an error."""
    line: str = ""
    """What has the same line is stored one after the other, as is what has the same subject."""
    stored: Callable[[int, bool], None] | None = None
    """Is told the sequence once it is stored, and whether it may be so twice. From the transport's thread."""


@dataclass(slots=True)
class Work:
    """What is stored and then settled, as one step: `first`, `then`, the deliveries, and at leisure `after`.

    `after` may be overtaken by the `after` of later work, which replaces it. `purge` names subjects whose payloads
    nobody needs once the deliveries are settled for good, `drop` those that nobody needs once everything is stored.
    `done` is called at the end, from the transport's thread.
    """

    first: list[Store] = field(default_factory=list)
    then: list[Store] = field(default_factory=list)
    settled: list[Delivery] = field(default_factory=list)
    after: Store | None = None
    purge: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    done: Callable[[], None] | None = None


class Transport(Protocol):
    """One replica's way to the broker. All methods are called from the replica's thread.

    `storing` has how long pieces of work took from when they were taken up until everything in them was stored. `beat`
    is called now and then from another thread, also while the replica's own is in a call; the replica sets it.
    """

    storing: Histogram
    beat: Callable[[], None]

    @property
    def held(self) -> int:
        """How many deliveries this replica has that are not settled."""
        ...

    def open(self, outbox: Outbox) -> dict[str, bytes]:
        """Connect, begin to receive, and return the records that concern this replica, by subject."""
        ...

    def receive(self, timeout: float | None) -> Delivery | Record | None:
        """The next delivery or record; None after `timeout` seconds, or earlier when work has been done.

        Raises `TransportError` when the broker is gone for good.
        """
        ...

    @property
    def waiting(self) -> bool:
        """Whether `receive` would return at once."""
        ...

    def wake(self) -> None:
        """Have `receive` return soon; may be called from any thread."""
        ...

    def defer(self, delivery: Delivery, delay: float) -> None:
        """Give a delivery back, to be handed out again in `delay` seconds."""
        ...

    def report(self, subject: str, payload: bytes) -> None:
        """Tell those who listen; nothing is stored."""
        ...

    def read_blob(self, subjects: list[str]) -> bytes:
        """What is stored under these subjects, joined. Raises `KeyError` where one is gone."""
        ...

    def finish(self) -> None:
        """Wait until everything in the outbox is stored and settled."""
        ...

    def close(self) -> None: ...

"""A delivery opened: its messages, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from interactem.runtime import wire
from interactem.runtime.blobs import Reference
from interactem.runtime.errors import WireError
from interactem.runtime.ids import Run, Series, runs_of, text
from interactem.runtime.messages import BytesMessage
from interactem.runtime.references import References
from interactem.runtime.transports import Delivery
from interactem.runtime.views import Lease, Views

_LATEST = 2**33
"""Seconds since 1970 that nothing waits for: who writes it wants a message never to be tried."""


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise WireError(f"{value!r:.50} is no number of attempts")
    return value


@dataclass(slots=True)
class Batch:
    """The messages of a delivery, and their ids, one by one and as runs.

    `failed` counts the attempts at them before; `not_before` is when they may be tried. `messages` are the kernel's,
    which may do to them what it likes; `fresh` makes them again.
    """

    delivery: Delivery
    port: str
    messages: list[BytesMessage]
    ids: list[tuple[Series, int]]
    runs: list[Run]
    failed: int = 0
    not_before: float = 0.0
    redriven: int = 0
    alone: bool = False
    """Whether it is given to the kernel while nothing else is: it was there when others went wrong with it."""
    reference: Reference | None = None
    blob: memoryview | None = None
    references: References | None = None
    leases: list[Lease] = field(default_factory=list)
    _placed: list[tuple[memoryview | None, Lease | None]] = field(default_factory=list)
    _untouched: list[BytesMessage] | None = None

    @classmethod
    def open(cls, delivery: Delivery, port: str) -> Batch:
        """Raises `WireError` for a payload that is not a batch that this version reads."""
        wire.check_format(delivery.format)
        messages, ids, runs, about = wire.decode(delivery.payload, port)
        batch = cls(delivery, port, messages, ids, runs)
        if about:
            batch._read(about)
        return batch

    def _read(self, about: dict[str, Any]) -> None:
        failure, not_before = about.get("failure", {}), about.get("not_before", 0.0)
        if type(failure) is not dict or type(not_before) not in (int, float) or not 0 <= not_before < _LATEST:
            raise WireError("what is known about a batch's failures cannot be understood")
        self.failed = _count(failure.get("attempts", 0))
        self.not_before = float(not_before)
        self.redriven = _count(about.get("redriven", 0))
        self.alone = about.get("alone") is True
        self.reference = Reference.of(about)
        if self.reference is not None and len(self.messages) != 1:
            raise WireError(f"{len(self.messages)} messages refer to one piece of data that is stored apart")
        self.references = References.of(about, len(self.messages))

    @property
    def size(self) -> int:
        """In bytes, as it travelled, with data that was stored apart or lies in shared memory."""
        apart = sum([data.nbytes for data, _ in self._placed if data is not None])
        return len(self.delivery.payload) + apart + (0 if self.blob is None else self.blob.nbytes)

    def id(self, index: int) -> str:
        return text(*self.ids[index])

    def runs_in(self, indexes: range) -> list[Run]:
        """The ids of some of the messages as runs."""
        if len(indexes) == len(self.ids):
            return self.runs
        chosen = self.ids[indexes.start : indexes.stop]
        return runs_of(*zip(*chosen, strict=True)) if chosen else []

    def fill(self, data: bytes) -> None:
        """Give the one message its data, which was stored apart."""
        self.blob = memoryview(data)
        self.messages[0].data = self.blob

    def fresh(self) -> list[BytesMessage]:
        """The messages as they came, whatever the kernel did to them."""
        messages = wire.decode(self.delivery.payload, self.port).messages
        if self.blob is not None:
            messages[0].data = self.blob
        self._give_placed(messages)
        return messages

    def look(self, views: Views) -> bool:
        """Give the messages their data in shared memory. Returns False where some of it is gone; raises as `views`."""
        if self.references is None:
            return True
        self._placed = views.look(self.references)
        self.leases = [lease for _, lease in self._placed if lease is not None]
        for lease, earlier in zip(self.leases, self.delivery.leases, strict=False):  # there are none, or as many
            lease.take_over(earlier)
        self.delivery.leases = self.leases
        self._give_placed(self.messages)
        return all(lease.valid for lease in self.leases)

    def _give_placed(self, messages: list[BytesMessage]) -> None:
        for message, (data, _) in zip(messages, self._placed, strict=False):  # there are none, or as many
            if data is not None:
                message.data = data

    def forget(self) -> None:
        """Nothing of it is looked at any more: what is alive of it then is kept by the kernel."""
        self.messages, self._placed, self._untouched = [], [], None

    def untouched(self, index: int) -> BytesMessage:
        """A message as it came, for those who only store it."""
        if self._untouched is None:
            self._untouched = self.fresh()
        return self._untouched[index]

"""What is in flight: a delivery that was opened, each of its messages, and a call with one or several of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from interactem.runtime.batches import Batch
from interactem.runtime.failures import Failure
from interactem.runtime.flight.parts import Parts
from interactem.runtime.flight.watch import Watch
from interactem.runtime.ids import Run, Series
from interactem.runtime.messages import BytesMessage

if TYPE_CHECKING:
    from interactem.runtime.tracing import Call

__all__ = ["Flight", "Item", "Land", "Opened", "Poked", "Told", "ToldError", "Workers"]


@dataclass(slots=True, eq=False)
class Opened:
    """A delivery, with how many of its messages are not done with, and whether one of them was set `aside`."""

    batch: Batch
    left: int
    aside: bool = False


@dataclass(slots=True, eq=False)
class Item:
    """A message. `failed` counts the attempts at it before, `place` is its number among all that came.

    `sent` counts what a generator has yielded for it in this attempt that is on its way.
    """

    opened: Opened
    index: int
    message: BytesMessage
    place: int
    arrived: float
    failed: int = 0
    alone: bool = False
    sent: int = 0
    span: Call | None = None
    """Where calls are traced, that of the one that it is in, or was in last."""

    @property
    def edge(self) -> int:
        return self.opened.batch.delivery.edge

    @property
    def key(self) -> tuple[int, Series, int]:
        """What tells it from every other message, and not from a copy of it."""
        return self.edge, *self.opened.batch.ids[self.index]


@dataclass(frozen=True, slots=True)
class Poked:
    """A call without a message, for a trigger. Its flight does not land: `over` says that it is there."""

    trigger: str
    over: Future[None] = field(default_factory=Future)


@dataclass(slots=True, eq=False)
class Flight:
    """One call of the kernel, with one message or, of a batch kernel, several.

    Once it has landed, `outcomes` has for each what the kernel has made of it, or the exception that it has raised, or
    a `Told`; `fatal` is what ends the replica. `shared` says that all have failed by one and the same call. What a
    generator yields goes through `parts` where it is sent as it is yielded; `refused` is why something of it cannot be.
    """

    items: list[Item]
    parameters: Any
    watch: Watch = field(default_factory=Watch)
    seconds: float = 0.0
    outcomes: list[Any] = field(default_factory=list)
    fatal: BaseException | None = None
    shared: bool = False
    calls: list[tuple[int, int, list[Run]]] = field(default_factory=list)
    """Its messages as the crash slot names them: edge, attempt and ids."""
    parts: Parts | None = None
    refused: Failure | None = None
    poked: Poked | None = None
    held: list[Any] = field(default_factory=list)
    """What a generator has yielded that is to be sent with the state that it has changed."""
    span: Call | None = None
    undo: Callable[[], None] | None = None
    """Brings back what the call has changed of the state."""

    @property
    def messages(self) -> list[BytesMessage]:
        return [item.message for item in self.items]

    @property
    def attempts(self) -> list[int]:
        return [item.failed + 1 for item in self.items]

    def within(self) -> AbstractContextManager[Any]:
        """Whoever calls the kernel does so within this."""
        return nullcontext() if self.span is None else self.span.within()

    def fail(self, error: BaseException | Told) -> None:
        """The call has raised."""
        kept = error if isinstance(error, (Exception, Told)) else Told.of(error)
        self.outcomes = [kept] * max(1, len(self.items))
        self.shared = len(self.items) > 1


@dataclass(frozen=True, slots=True)
class Told:
    """A failure by its texts, such as one in another process."""

    error: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> Told:
        """What would end a program and is no more than a failure here."""
        failure = Failure.of(error, 1)
        return cls(failure.error, failure.traceback)

    def failure(self, attempts: int, hide: Callable[[str], str]) -> Failure:
        return Failure(attempts, hide(self.error), hide(self.traceback))


class ToldError(Exception):
    """Raised in place of what was raised in another process."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.error)
        self.told = told


Land = Callable[[Flight], None]
"""Takes a flight back, from any thread."""


class Workers(Protocol):
    """Those who call the kernel. All methods are the replica's thread's.

    `room` is how many flights may begin now. A time limit is for each flight, in seconds from its beginning.
    """

    @property
    def room(self) -> int: ...

    def start(self) -> None:
        """Once the kernel's dependencies are there. Raises `SetUpError`."""

    def begin(self, flight: Flight) -> None:
        """Have the kernel called. The flight lands sooner or later, in whatever way that ends."""

    def close(self) -> None:
        """Nothing is in flight that anybody waits for."""

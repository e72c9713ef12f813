"""Dead letters: looked at, and sent once more."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from interactem.engine import streams
from interactem.engine.errors import EngineError
from interactem.engine.plan import Plan
from interactem.runtime import wire
from interactem.runtime.connections import Storer
from interactem.runtime.errors import WireError
from interactem.runtime.ids import file, redriven_id
from interactem.runtime.messages import BytesMessage
from interactem.runtime.subjects import short_hash
from interactem.runtime.transports import Store


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed its last attempt. `subject` is where the broker keeps it."""

    subject: str
    message: BytesMessage
    operator: str
    port: str
    error: str
    traceback: str
    attempts: int
    time: float
    about: dict[str, Any]

    @property
    def id(self) -> str:
        return self.message.id or ""

    @property
    def meta(self) -> dict[str, Any] | bytes | None:
        """The message's; None where it is one that cannot be read."""
        try:
            return self.message.header.meta
        except WireError:
            return None

    def to_value(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "operator": self.operator,
            "port": self.port,
            "error": self.error,
            "traceback": self.traceback,
            "attempts": self.attempts,
            "time": self.time,
            "bytes": len(self.message.data),
            "meta": self.meta,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant: those that agree with all that is given. Times in seconds since 1970."""

    ids: Collection[str] = ()
    operator: str | None = None
    port: str | None = None
    error: str | None = None
    """A part of the error's text, in whatever case."""
    since: float | None = None
    until: float | None = None

    @property
    def all(self) -> bool:
        """Whether nothing is given."""
        return self == Choice()

    def has(self, letter: DeadLetter) -> bool:
        return (
            (not self.ids or letter.id in self.ids)
            and self.operator in (None, letter.operator)
            and self.port in (None, letter.port)
            and (self.error is None or self.error.casefold() in letter.error.casefold())
            and (self.since is None or self.since <= letter.time)
            and (self.until is None or letter.time <= self.until)
        )

    def of(self, found: Iterable[DeadLetter]) -> list[DeadLetter]:
        """Raises `LookupError` that names the ids which no letter has."""
        chosen = [letter for letter in found if self.has(letter)]
        missing = set(self.ids) - {letter.id for letter in chosen}
        if missing:
            raise LookupError(", ".join(sorted(missing)))
        return chosen


async def letters(storer: Storer, plan: Plan) -> list[DeadLetter]:
    """All dead letters of a run, the oldest first."""
    stored = await storer.last(plan.names.dead_stream, [plan.names.dead("*", "*")])
    found = [_letter(plan, subject, payload) for subject, payload in stored.items()]
    return sorted(found, key=lambda letter: (letter.time, letter.id))


def _letter(plan: Plan, subject: str, payload: bytes) -> DeadLetter:
    # the subject tells whose it is: that, unlike what stands in it, was not for its writer to choose
    edge = int(subject.split(".")[3])
    operator, entry = plan.reader(edge)
    try:
        decoded = wire.decode(payload)
        [message], about = decoded.messages, decoded.about
        failure = about["failure"]
        if about["partition"] not in range(entry.partitions):
            raise ValueError(f"there is no partition {about['partition']!r}")
        redriven = int(about.get("redriven", 0))
        about |= {"edge": edge, "operator": operator.key, "port": entry.port, "redriven": redriven}
        return DeadLetter(
            subject,
            message,
            operator.key,
            entry.port,
            str(failure["error"]),
            str(failure["traceback"]),
            int(failure["attempts"]),
            float(about["time"]),
            about,
        )
    except (WireError, ValueError, TypeError, KeyError) as error:
        raise EngineError(f"the dead letter at {subject} cannot be read: {error}") from None


async def redrive(storer: Storer, plan: Plan, chosen: Iterable[DeadLetter]) -> list[str]:
    """Send letters to their operators once more, with all attempts before them. Returns the operators' names.

    A letter is removed only after it is stored to be tried again. Raises `EngineError` for one that cannot be read by
    the operator at all, and where its operator will not look at it any more in this run.
    """
    chosen = list(chosen)
    for letter in chosen:
        if letter.about.get("unreadable"):
            raise EngineError(f"{letter.id} is not a message and cannot be tried again: {letter.error}")
    await _refuse_late(storer, plan, chosen)
    for letter in chosen:
        await storer.store(_again(plan, letter))
    # operators may have come to their ends before these were stored: then the letters stay
    await _refuse_late(storer, plan, chosen)
    await drop(storer, plan, chosen)
    return sorted({letter.operator for letter in chosen})


async def drop(storer: Storer, plan: Plan, chosen: Iterable[DeadLetter]) -> None:
    """Remove letters for good."""
    for letter in chosen:
        await streams.purge(storer, plan.names.dead_stream, letter.subject)


async def _refuse_late(storer: Storer, plan: Plan, chosen: list[DeadLetter]) -> None:
    told = await streams.controls(storer, plan)
    for operator in sorted({letter.operator for letter in chosen}):
        if plan.names.control(plan.operator(operator).index, "finish") in told:
            raise EngineError(f"{operator} has come to its end; when the run has too, try again")


async def unfinish(storer: Storer, plan: Plan, operators: Iterable[str]) -> None:
    """Of a run that does not run: these operators and all behind them will go on when it is resumed."""
    below = plan.below({plan.operator(key).index for key in operators})
    for index in below:
        await streams.purge(storer, plan.names.control_stream(index), plan.names.control(index, "finish"))
        await streams.purge(storer, plan.names.record_stream, plan.names.record(index, "*", "finished"))


def _again(plan: Plan, letter: DeadLetter) -> Store:
    kept: dict[str, Any] = {name: letter.about[name] for name in ("blob", "chunks") if name in letter.about}
    times = letter.about["redriven"] + 1
    name = redriven_id(letter.id, times)
    payload = wire.encode([wire.pack(letter.message, *file(name))], {**kept, "redriven": times})
    subject = plan.names.retry(letter.about["edge"], letter.about["partition"])
    return Store(subject, payload, f"{letter.about['edge']}:{short_hash(name)}", wire=True)

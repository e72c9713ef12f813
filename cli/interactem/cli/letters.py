"""What the commands of dead letters do."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import TypeVar

from interactem.cli.failures import FailedError, InvalidError
from interactem.cli.output import print_json, print_table, say
from interactem.engine import collect
from interactem.engine import letters as engine
from interactem.engine.folders import RunFolder
from interactem.engine.index import RunRecord
from interactem.engine.letters import Choice, DeadLetter
from interactem.engine.plan import Plan
from interactem.engine.visiting import connected
from interactem.runtime.connections import Storer

T = TypeVar("T")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_time(text: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Seconds since 1970 of a time, the machine's own unless it says otherwise, or of a while ago."""
    if text is None:
        return None
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if ago:
        return now() - float(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidError(f"{text!r} is not a time: write 2026-01-31T17:45, or how long ago, such as 10m") from None


def read(record: RunRecord, choice: Choice, *, broker: str | None) -> list[DeadLetter]:
    result = None if record.alive else collect(record.folder)
    if result is not None and result.state == "completed" and not result.dead:
        return _of([], choice)

    async def found(plan: Plan, storer: Storer) -> list[DeadLetter]:
        return _of(await engine.letters(storer, plan), choice)

    return _with_broker(record, broker, found)


def _with_broker(record: RunRecord, broker: str | None, act: Callable[[Plan, Storer], Awaitable[T]]) -> T:
    async def whole() -> T:
        async with connected(record, broker) as (plan, storer):
            return await act(plan, storer)

    return asyncio.run(whole())


def _of(found: list[DeadLetter], choice: Choice) -> list[DeadLetter]:
    try:
        return choice.of(found)
    except LookupError as error:
        raise InvalidError(f"there is no such dead letter: {error}") from None


def print_list(found: list[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        print_json([letter.to_value() for letter in found])
    elif not found:
        say("no dead letters")
    else:
        rows = [(each.id, each.operator, each.port, each.attempts, _first_line(each.error)) for each in found]
        print_table(("id", "operator", "port", "attempts", "error"), rows, right=("attempts",))


def print_whole(found: list[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        print_json([letter.to_value() for letter in found])
        return
    for line in (line for letter in found for line in _describe(letter)):
        say(line)


def _describe(letter: DeadLetter) -> Iterator[str]:
    yield f"{letter.id}: {letter.operator}.{letter.port}, {letter.attempts} attempts"
    yield f"  meta: {letter.meta!r}"
    yield f"  data: {len(letter.message.data)} bytes"
    yield f"  {letter.error}"
    yield from (f"  {line}" for line in letter.traceback.splitlines())


def retry(record: RunRecord, choice: Choice, *, broker: str | None) -> tuple[list[str], list[str]]:
    """Send them once more. Returns their ids and, for a run that does not run, the operators to go on with."""

    async def again(plan: Plan, storer: Storer) -> tuple[list[str], list[str]]:
        chosen = _some(record, _of(await engine.letters(storer, plan), choice))
        operators = sorted({letter.operator for letter in chosen})
        if not record.alive:
            await engine.unfinish(storer, plan, operators)
            RunFolder.open(record.folder).summary.unlink(missing_ok=True)  # it has not come to its end any more
        await engine.redrive(storer, plan, chosen)
        return [letter.id for letter in chosen], [] if record.alive else operators

    return _with_broker(record, broker, again)


def drop(record: RunRecord, choice: Choice, *, broker: str | None) -> list[str]:
    """Remove them for good. Returns their ids."""

    async def remove(plan: Plan, storer: Storer) -> list[str]:
        chosen = _some(record, _of(await engine.letters(storer, plan), choice))
        await engine.drop(storer, plan, chosen)
        return [letter.id for letter in chosen]

    return _with_broker(record, broker, remove)


def _some(record: RunRecord, chosen: list[DeadLetter]) -> list[DeadLetter]:
    if not chosen:
        raise FailedError(f"run {record.run} has no such dead letters")
    return chosen


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""

"""`interactem pipeline ps`, `logs`, `stop`, `set` and `dead`: what can be done with runs that were started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from interactem.cli.failures import FailedError, InvalidError
from interactem.cli.output import print_json, print_table, say
from interactem.engine import collect
from interactem.engine.index import RunIndex, RunRecord
from interactem.engine.letters import DeadLetter, letters, redrive, unfinish
from interactem.engine.live import check_parameters, set_parameters
from interactem.engine.runs import connected
from interactem.spec import parse_assignment

FOLLOW_SECONDS = 0.2


def find_run(given: str) -> RunRecord:
    """Raises `UnknownRunError`."""
    return RunIndex().find(given)


def state_of(record: RunRecord) -> str:
    """`running`, how it ended, or `interrupted` where its supervisor was killed."""
    return "interrupted" if record.interrupted else record.state


def list_runs(*, as_json: bool) -> None:
    rows = [
        {
            "run": record.run,
            "name": record.name,
            "state": state_of(record),
            "started": record.started,
            "folder": str(record.folder),
        }
        for record in RunIndex().runs()
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(("run", "name", "state", "started", "folder"), [tuple(row.values()) for row in rows])
    else:
        say("no runs yet; start one with: interactem pipeline run FILE")


def print_logs(record: RunRecord, operators: Iterable[str], *, follow: bool, lines: int | None) -> None:
    """The replicas' logs, each line behind its replica's name."""
    folder = record.folder / "logs"
    chosen = set(operators)
    places: dict[Path, int] = {}
    known = {path.name.rpartition(".")[0].rpartition(".")[0] for path in folder.glob("*.log")}
    if chosen - known and not follow:
        raise InvalidError(f"no logs of {', '.join(sorted(chosen - known))}; there are: {', '.join(sorted(known))}")
    while True:
        alive = follow and RunIndex().find(record.run).alive
        for path in sorted(folder.glob("*.log")):
            name = path.name.removesuffix(".log")
            if not chosen or name.rpartition(".")[0] in chosen:
                _print_new(path, name, places, lines)
        sys.stdout.flush()
        if not alive:
            return
        lines = None
        time.sleep(FOLLOW_SECONDS)


def _print_new(path: Path, name: str, places: dict[Path, int], lines: int | None) -> None:
    with path.open("rb") as file:
        file.seek(places.get(path, 0))
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    places[path] = places.get(path, 0) + len(whole)
    found = whole.decode(errors="replace").splitlines()
    for line in found if lines is None else found[-lines:] if lines else []:
        sys.stdout.write(f"{name} | {line}\n")


def stop(record: RunRecord, *, now: bool, as_json: bool) -> None:
    """Drain a run, or stop it at once, and wait until it has ended."""
    if not record.alive:
        raise InvalidError(f"run {record.run} does not run: it is {state_of(record)}")
    os.kill(record.supervisor.pid, signal.SIGTERM)
    if now:
        time.sleep(FOLLOW_SECONDS)
        _signal_again(record)
    while record.supervisor.alive:
        time.sleep(FOLLOW_SECONDS)
    ended = RunIndex().find(record.run)
    if as_json:
        print_json({"run": ended.run, "state": state_of(ended)})
    else:
        say(f"run {ended.run}: {state_of(ended)}")


def _signal_again(record: RunRecord) -> None:
    if record.supervisor.alive:
        os.kill(record.supervisor.pid, signal.SIGTERM)


def set_values(record: RunRecord, texts: Iterable[str], *, as_json: bool) -> None:
    values: dict[str, dict[str, object]] = {}
    for text in texts:
        operator, parameter, value = parse_assignment(text)
        values.setdefault(operator, {})[parameter] = value

    async def change() -> dict[str, Any]:
        async with connected(record) as (plan, storer):
            return await set_parameters(storer, plan, check_parameters(plan, values))

    changed = asyncio.run(change())
    if as_json:
        print_json(changed)
        return
    for key, parameters in changed.items():
        for name in values[key]:
            say(f"{key}.{name} = {parameters.get(name)!r}")


def read_letters(record: RunRecord) -> list[DeadLetter]:
    result = None if record.alive else collect(record.folder)
    if result is not None and result.state == "completed" and not result.dead:
        return []

    async def read() -> list[DeadLetter]:
        async with connected(record) as (plan, storer):
            return await letters(storer, plan)

    return asyncio.run(read())


def choose(found: list[DeadLetter], ids: Iterable[str], operator: str | None) -> list[DeadLetter]:
    """Those with these ids, or all; of one operator, if one is named. Raises `InvalidError` where there are none."""
    wanted = set(ids)
    chosen = [
        letter
        for letter in found
        if (not wanted or letter.id in wanted) and (operator is None or letter.operator == operator)
    ]
    missing = wanted - {letter.id for letter in chosen}
    if missing:
        raise InvalidError(f"there is no dead letter {', '.join(sorted(missing))}")
    return chosen


def list_letters(found: list[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        print_json([letter.to_value() for letter in found])
    elif not found:
        say("no dead letters")
    else:
        rows = [(each.id, each.operator, each.port, each.attempts, _first_line(each.error)) for each in found]
        print_table(("id", "operator", "port", "attempts", "error"), rows, right=("attempts",))


def show_letters(found: list[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        print_json([letter.to_value() for letter in found])
        return
    for line in (line for letter in found for line in _describe(letter)):
        say(line)


def _describe(letter: DeadLetter) -> Iterator[str]:
    yield f"{letter.id}: {letter.operator}.{letter.port}, {letter.attempts} attempts"
    yield f"  meta: {letter.message.header.meta!r}"
    yield f"  data: {len(letter.message.data)} bytes"
    yield f"  {letter.error}"
    yield from (f"  {line}" for line in letter.traceback.splitlines())


def retry_letters(record: RunRecord, ids: Iterable[str], operator: str | None) -> tuple[list[str], list[str]]:
    """Send them once more. Returns their ids and, for a run that does not run, the operators to go on with."""

    async def retry() -> tuple[list[str], list[str]]:
        async with connected(record) as (plan, storer):
            chosen = choose(await letters(storer, plan), ids, operator)
            operators = sorted({letter.operator for letter in chosen})
            if not record.alive:
                await unfinish(storer, plan, operators)
            await redrive(storer, plan, chosen)
            return [letter.id for letter in chosen], [] if record.alive else operators

    sent = asyncio.run(retry())
    if not sent[0]:
        raise FailedError(f"run {record.run} has no such dead letters")
    return sent


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""

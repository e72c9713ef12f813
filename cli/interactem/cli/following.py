"""`interactem pipeline ps`, `logs`, `stop`, `set` and `dead`: what can be done with runs that were started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from interactem.cli.failures import FailedError, InvalidError
from interactem.cli.output import print_json, print_table, say
from interactem.engine import collect
from interactem.engine.errors import UnknownRunError
from interactem.engine.folders import RunFolder
from interactem.engine.index import ProcessIdentity, RunIndex, RunRecord
from interactem.engine.letters import DeadLetter, letters, redrive, unfinish
from interactem.engine.live import check_parameters, set_parameters
from interactem.engine.plan import Plan
from interactem.engine.runs import connected
from interactem.spec import parse_assignment

FOLLOW_SECONDS = 0.2


def find_run(given: str) -> RunRecord:
    """The run that is meant. One that the index does not know is found by its folder. Raises `UnknownRunError`."""
    try:
        return RunIndex().find(given)
    except UnknownRunError:
        if not Path(given, "plan.json").is_file():
            raise
        return _unlisted(RunFolder.open(Path(given)))


def _unlisted(folder: RunFolder) -> RunRecord:
    plan = folder.read_plan()
    nobody = ProcessIdentity(0, "", "")
    summary = folder.read_summary() or {"state": "interrupted"}
    return RunRecord(plan["run"], plan["name"], folder.path, nobody, "", None, "", summary["state"])


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


def print_logs(record: RunRecord, operators: Iterable[str], *, follow: bool, lines: int | None, as_json: bool) -> None:
    """The replicas' logs, each line behind its replica's name; as JSON, a list of replicas with their lines."""
    folder = record.folder / "logs"
    chosen = set(operators)
    known = {path.name.removesuffix(".log").rpartition(".")[0] for path in folder.glob("*.log")}
    if as_json and follow:
        raise InvalidError("--follow has no end that a JSON document could have; leave one of both out")
    if chosen - known and not follow:
        raise InvalidError(f"no logs of {', '.join(sorted(chosen - known))}; there are: {', '.join(sorted(known))}")
    places: dict[Path, int] = {}
    if as_json:
        print_json([{"replica": name, "lines": found} for name, found in _new_lines(folder, chosen, places, lines)])
        return
    while True:
        alive = follow and RunIndex().find(record.run).alive
        for name, found in _new_lines(folder, chosen, places, lines):
            sys.stdout.writelines(f"{name} | {line}\n" for line in found)
        sys.stdout.flush()
        if not alive:
            return
        lines = None
        time.sleep(FOLLOW_SECONDS)


def _new_lines(
    folder: Path, chosen: set[str], places: dict[Path, int], lines: int | None
) -> Iterator[tuple[str, list[str]]]:
    """Each replica's whole lines behind `places`, the last `lines` of them; `places` goes on."""
    for path in sorted(folder.glob("*.log")):
        name = path.name.removesuffix(".log")
        if chosen and name.rpartition(".")[0] not in chosen:
            continue
        with path.open("rb") as file:
            file.seek(places.get(path, 0))
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        places[path] = places.get(path, 0) + len(whole)
        found = whole.decode(errors="replace").splitlines()
        yield name, found if lines is None else found[-lines:] if lines else []


def stop(record: RunRecord, *, now: bool, as_json: bool) -> None:
    """Drain a run, or stop it at once, and wait until it has ended."""
    if not record.alive:
        raise InvalidError(f"run {record.run} does not run: it is {state_of(record)}")
    os.kill(record.supervisor.pid, signal.SIGTERM)
    if now:  # two signals that differ: of two that are equal one may be lost
        with suppress(ProcessLookupError):
            os.kill(record.supervisor.pid, signal.SIGINT)
    while record.supervisor.alive:
        time.sleep(FOLLOW_SECONDS)
    ended = RunIndex().find(record.run)
    if as_json:
        print_json({"run": ended.run, "state": state_of(ended)})
    else:
        say(f"run {ended.run}: {state_of(ended)}")


def set_values(record: RunRecord, texts: Iterable[str], *, broker: str | None, as_json: bool) -> None:
    values: dict[str, dict[str, object]] = {}
    for text in texts:
        operator, parameter, value = parse_assignment(text)
        values.setdefault(operator, {})[parameter] = value

    typed = check_parameters(Plan.from_value(RunFolder.open(record.folder).read_plan()), values)

    async def change() -> dict[str, Any]:
        async with connected(record, broker) as (plan, storer):
            return await set_parameters(storer, plan, typed)

    changed = asyncio.run(change())
    if as_json:
        print_json(changed)
        return
    for key, parameters in changed.items():
        for name in values[key]:
            say(f"{key}.{name} = {parameters.get(name)!r}")


def read_letters(record: RunRecord, *, broker: str | None) -> list[DeadLetter]:
    result = None if record.alive else collect(record.folder)
    if result is not None and result.state == "completed" and not result.dead:
        return []

    async def read() -> list[DeadLetter]:
        async with connected(record, broker) as (plan, storer):
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


def retry_letters(
    record: RunRecord, ids: Iterable[str], operator: str | None, *, broker: str | None
) -> tuple[list[str], list[str]]:
    """Send them once more. Returns their ids and, for a run that does not run, the operators to go on with."""

    async def retry() -> tuple[list[str], list[str]]:
        async with connected(record, broker) as (plan, storer):
            chosen = choose(await letters(storer, plan), ids, operator)
            operators = sorted({letter.operator for letter in chosen})
            if chosen and not record.alive:
                await unfinish(storer, plan, operators)
                RunFolder.open(record.folder).summary.unlink(missing_ok=True)  # it has not come to its end any more
            await redrive(storer, plan, chosen)
            return [letter.id for letter in chosen], [] if record.alive else operators

    sent = asyncio.run(retry())
    if not sent[0]:
        raise FailedError(f"run {record.run} has no such dead letters")
    return sent


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""

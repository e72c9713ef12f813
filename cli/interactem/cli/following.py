"""`interactem pipeline ps`, `logs`, `stop` and `set`: what can be done with runs that were started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from interactem.cli.failures import InvalidError
from interactem.cli.output import counted, print_json, print_table, say
from interactem.engine.answers import TriggerResult, find_trigger, pull_trigger
from interactem.engine.detached import attach
from interactem.engine.errors import UnknownRunError
from interactem.engine.folders import RunFolder
from interactem.engine.index import ProcessIdentity, RunIndex, RunRecord
from interactem.engine.live import change_parameters, check_parameters, set_parameters
from interactem.engine.plan import Plan
from interactem.engine.visiting import connected
from interactem.spec import parse_assignment

FOLLOW_SECONDS = 0.2
TAKEN_SECONDS = 5.0
"""How long new parameters are waited for to be taken up."""


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
    """`running`, how it ended; where its supervisor was killed `unattended` if it works on, else `interrupted`."""
    if record.unattended:
        return "unattended"
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
    new = NewLines(folder, chosen)
    if as_json:
        print_json([{"replica": name, "lines": found} for name, found in new.by_replica(lines)])
        return
    while True:
        now = RunIndex().find(record.run) if follow else None
        sys.stdout.writelines(f"{line}\n" for line in new.prefixed(lines))
        sys.stdout.flush()
        if now is None or not (now.alive or now.unattended):
            return
        lines = None
        time.sleep(FOLLOW_SECONDS)


class NewLines:
    """What replicas have logged since it was looked at last; the first time, since their beginning."""

    def __init__(self, folder: Path, chosen: Collection[str] = ()) -> None:
        self._folder = folder
        self._chosen = chosen
        self._places: dict[Path, int] = {}

    def pass_over(self) -> None:
        """Leave out what there is now."""
        for path in self._folder.glob("*.log"):
            self._places[path] = path.stat().st_size

    def prefixed(self, last: int | None = None) -> Iterator[str]:
        """Whole lines, each behind its replica's name."""
        for name, found in self.by_replica(last):
            yield from (f"{name} | {line}" for line in found)

    def by_replica(self, last: int | None = None) -> Iterator[tuple[str, list[str]]]:
        """Each replica's whole lines, or the `last` of them."""
        for path in sorted(self._folder.glob("*.log")):
            name = path.name.removesuffix(".log")
            if self._chosen and name.rpartition(".")[0] not in self._chosen:
                continue
            with path.open("rb") as file:
                file.seek(self._places.get(path, 0))
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._places[path] = self._places.get(path, 0) + len(whole)
            found = whole.decode(errors="replace").splitlines()
            yield name, found if last is None else found[-last:] if last else []


def stop(record: RunRecord, *, now: bool, as_json: bool) -> None:
    """Drain a run, or stop it at once, and wait until it has ended."""
    if record.unattended:
        record = attach(record)
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

    async def change() -> tuple[dict[str, Any], dict[str, str]]:
        async with connected(record, broker) as (plan, storer):
            if not record.alive:
                return await set_parameters(storer, plan, typed), {}
            changed, took = await change_parameters(storer, plan, typed, seconds=TAKEN_SECONDS)
            return changed, {
                key: f" ({took[key]} of {counted(plan.operator(key).replicas, 'replica')})" for key in took
            }

    changed, took = asyncio.run(change())
    if as_json:
        print_json(changed)
        return
    for key, parameters in changed.items():
        for name in values[key]:
            say(f"{key}.{name} = {parameters.get(name)!r}{took.get(key, '')}")


def trigger(record: RunRecord, text: str, *, seconds: float, as_json: bool) -> int:
    """Pull a trigger, and say what each replica did. Returns 1 where one failed or does not answer."""
    key, dot, name = text.partition(".")
    if not (key and dot and name):
        raise InvalidError(f"{text!r} is not a trigger; write operator.trigger")
    find_trigger(Plan.from_value(RunFolder.open(record.folder).read_plan()), key, name)
    if not record.alive:
        raise InvalidError(f"run {record.run} does not run: {state_of(record)}")

    async def pull() -> list[TriggerResult]:
        async with connected(record) as (plan, storer):
            return await pull_trigger(storer.client, plan, key, name, seconds=seconds)

    results = asyncio.run(pull())
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        for result in results:
            calls, sent = counted(result.calls, "call"), counted(result.sent, "message")
            say(f"{key}.{result.replica}: {result.error or f'{calls}, {sent} sent'}", stderr=bool(result.error))
    return int(any(result.error for result in results))

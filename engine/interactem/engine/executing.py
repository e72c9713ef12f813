"""Runs while they go on: everything around the supervisor is made before it, and removed after it."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from interactem.engine import arenas
from interactem.engine.broker import RunBroker
from interactem.engine.connections import LaidConnections
from interactem.engine.errors import BrokerError, RunFolderError, UnknownRunError
from interactem.engine.external_brokers import EXTERNAL_STORE
from interactem.engine.folders import EventLog, utc_now
from interactem.engine.index import ProcessIdentity, RunIndex, RunRecord, remove_secrets, secrets_folder
from interactem.engine.inspections import inspect_folder
from interactem.engine.keeping import Keeper, KeeperLostError, KeptBroker, KeptLauncher
from interactem.engine.launchers import Launcher
from interactem.engine.launching import make_launcher
from interactem.engine.own_broker import start_own_broker
from interactem.engine.preparing import PreparedRun
from interactem.engine.progress import OperatorProgress
from interactem.engine.results import RunResult
from interactem.engine.summaries import operator_numbers
from interactem.engine.supervisor import Observer, Supervisor
from interactem.engine.surroundings import Surroundings
from interactem.engine.watch import Watch, check_syntax
from interactem.runtime.connections import Address


async def execute(
    prepared: PreparedRun,
    *,
    launcher: Launcher | None = None,
    observe: Observer = lambda state, rows: None,
    started: Callable[[Supervisor], None] = lambda supervisor: None,
    watch: Callable[[str], None] | None = None,
) -> RunResult:
    """Run it to its end, whatever that is, or go on with what an earlier execution has left.

    `started` is given the supervisor, to drain or stop it. With `watch`, replicas are started again when their
    `run.py` changes, and it is told of each change. Raises `RunFolderError` where somebody else runs it.
    """
    with prepared.folder.held():
        refuse_unattended(prepared)
        return await _execute(prepared, None, launcher, observe, started, watch)


async def execute_kept(
    prepared: PreparedRun,
    keeper: Keeper,
    *,
    attached: bool = False,
    observe: Observer = lambda state, rows: None,
    started: Callable[[Supervisor], None] = lambda supervisor: None,
) -> RunResult:
    """The same as the supervisor of a detached run, whose folder the caller holds; with `attached`, of one that runs.

    Raises `KeeperLostError` where everything has ended with the keeper: it can be gone on with.
    """
    return await _execute(prepared, keeper, KeptLauncher(keeper), observe, started, None, attached)


def refuse_unattended(prepared: PreparedRun) -> None:
    """Raises `RunFolderError` where the run's replicas are at work without a supervisor."""
    with suppress(UnknownRunError):
        if RunIndex().find(prepared.run).unattended:
            reason = f"its replicas are at work: take them over with: interactem pipeline attach {prepared.run}"
            raise RunFolderError(prepared.folder.path, reason)


async def _execute(
    prepared: PreparedRun,
    keeper: Keeper | None,
    launcher: Launcher | None,
    observe: Observer,
    started: Callable[[Supervisor], None],
    watch: Callable[[str], None] | None,
    attached: bool = False,
) -> RunResult:
    folder, plan = prepared.folder, prepared.plan
    start = _start_of(plan.run, attached)
    begun = time.monotonic() - (utc_now() - start).total_seconds()
    folder.summary.unlink(missing_ok=True)  # an earlier execution's: it tells how this one has ended, not that
    supervisor: Supervisor | None = None
    state, reason, interrupted = "failed", "", None
    try:
        with EventLog(folder.events) as events:
            launcher = launcher or await make_launcher(plan, events.record)
            async with _serving(prepared, keeper, events, start, attached) as (address, store_bytes, broker):
                secrets = secrets_folder(plan.run) if keeper is None else keeper.record.socket.parent
                laid = LaidConnections.find(plan, secrets) if attached else prepared.connections.lay_down(secrets)
                around = Surroundings(
                    folder=folder,
                    launcher=launcher,
                    address=address,
                    interpreters={name: made.python for name, made in prepared.environments.items()},
                    events=events,
                    store_bytes=store_bytes,
                    broker=broker,
                    programs={},
                    images={name: image.id for name, image in plan.images.items()},
                    connections=laid,
                    path_rules=plan.path_rules,
                    tell=watch or (lambda text: None),
                    attached=attached,
                    adopted={} if keeper is None else keeper.adopted,
                )
                supervisor = Supervisor(plan, around, observe)
                started(supervisor)
                async with nullcontext() if watch is None else _watch(prepared, around, supervisor).running():
                    state = await supervisor.run()
                reason = supervisor.reason
                if keeper is not None and keeper.lost:
                    raise KeeperLostError(reason)
    except BrokerError as error:  # it did not start
        reason = str(error)
    except asyncio.CancelledError as error:
        if supervisor is not None:
            raise
        state, reason, interrupted = "stopped", "interrupted before it began", error
    rows = supervisor.progress() if supervisor else [OperatorProgress(o.key, o.replicas) for o in plan.operators]
    result = RunResult(
        run=plan.run,
        name=plan.name,
        state=state,
        seconds=round(time.monotonic() - begun, 3),
        folder=str(folder.path),
        operators={row.name: operator_numbers(row) for row in rows},
        outputs=sorted(str(path) for path in folder.outputs.rglob("*") if path.is_file()),
        dead=supervisor.dead if supervisor else 0,
        reason=reason,
    )
    settled = _settled(prepared, result)
    if interrupted is not None:
        raise interrupted
    return settled


def _start_of(run: str, attached: bool) -> datetime:
    """Now; of a run that goes on with another supervisor, when it was started."""
    if attached:
        with suppress(UnknownRunError):
            return datetime.fromisoformat(RunIndex().find(run).started)
    return utc_now()


def _watch(prepared: PreparedRun, around: Surroundings, supervisor: Supervisor) -> Watch:
    """A watch that has taken what there is now."""

    async def check(name: str, folder: Path) -> str | None:
        if prepared.plan.in_containers:
            return await check_syntax(name, folder)
        return (await inspect_folder(folder, prepared.environments[name].python)).get("error")

    def changed(name: str) -> None:
        around.events.record("code", operator=name, state="changed")
        around.tell(f"{name}: its run.py has changed; its replicas start again")
        supervisor.renew(name)

    def refused(name: str, wrong: str) -> None:
        around.events.record("code", operator=name, state="refused", error=wrong)
        around.tell(f"{name}: its run.py has changed, and the old one goes on:\n{wrong}")

    folders = {operator.operator: Path(operator.folder) for operator in prepared.plan.operators if operator.folder}
    place = around.folder.path / "code"
    watch = Watch(folders, place, around.programs, check=check, changed=changed, refused=refused)
    watch.begin()
    return watch


def _settled(prepared: PreparedRun, result: RunResult) -> RunResult:
    """Leave behind what tells of the run, and nothing that nobody needs any more."""
    folder = prepared.folder
    try:
        arenas.put_away(prepared.run, folder.path / "arenas", keep=result.state != "completed")
    except OSError as error:
        place = arenas.folder_of(prepared.run)
        kept = f"shared memory stays in {place} until the run is resumed ({error.strerror})"
        result = replace(result, reason="; ".join(filter(None, [result.reason, kept])))
    try:
        folder.write_summary(result.to_value())
    except OSError as error:
        parts = [result.reason, f"the summary could not be written: {error.strerror}"]
        result = replace(result, reason="; ".join(filter(None, parts)))
    RunIndex().update(result.run, state=result.state)
    if result.state == "completed" and not result.dead:
        shutil.rmtree(folder.broker, ignore_errors=True)  # only now: who is killed before must find it
    folder.remove_empty_work()
    return result


@asynccontextmanager
async def _serving(
    prepared: PreparedRun, keeper: Keeper | None, events: EventLog, start: datetime, attached: bool
) -> AsyncIterator[tuple[Address, int, RunBroker | None]]:
    """The run's broker, and the run in the index for as long as it serves."""
    async with AsyncExitStack() as stack:
        if not attached:
            _register(prepared, Address(""), keeper, start)
        if keeper is None:
            stack.callback(remove_secrets, prepared.run)
        else:
            stack.push_async_callback(keeper.end)
            stack.callback(asyncio.create_task(keeper.events(events.record)).cancel)
        broker: RunBroker | None = None
        if prepared.broker is not None:
            address, store_bytes = prepared.broker, EXTERNAL_STORE
        elif keeper is None:
            own, store_bytes = await start_own_broker(prepared.plan, prepared.folder, secrets_folder(prepared.run))
            stack.push_async_callback(own.stop)
            address, broker = Address(own.url, own.credentials), own
        else:
            kept = await KeptBroker.have(keeper)
            stack.push_async_callback(kept.stop)
            address, store_bytes, broker = Address(kept.url, kept.credentials), kept.store_bytes, kept
        _register(prepared, address, keeper, start)
        yield address, store_bytes, broker


def _register(prepared: PreparedRun, address: Address, keeper: Keeper | None, start: datetime) -> None:
    RunIndex().register(
        RunRecord(
            run=prepared.run,
            name=prepared.plan.name,
            folder=prepared.folder.path,
            supervisor=ProcessIdentity.of(os.getpid()),
            url=address.url,
            credentials=address.credentials,
            started=start.isoformat(),
            state="running",
            keeper=None if keeper is None else keeper.record,
        )
    )

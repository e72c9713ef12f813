"""Runs of pipelines, as programs see them: prepare, execute, collect.

    graph = Graph(pipeline, specs).check()
    prepared = await prepare(graph, folders)
    result = await execute(prepared)

`prepare` does everything that can go wrong before something starts. `reopen` takes its place for a run that was
interrupted, stopped or failed. `collect` reads what a run has left behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client

from interactem.engine.broker import MEBIBYTE, EmbeddedBroker, store_limit
from interactem.engine.connections import RunConnections, connections_of_graph, connections_of_plan
from interactem.engine.containers.access import remarks
from interactem.engine.environments import Environment, Progress
from interactem.engine.errors import BrokerError, RunFolderError
from interactem.engine.files import write_private
from interactem.engine.folders import FOLDER_TAKEN, EventLog, RunFolder, new_run_id, utc_now
from interactem.engine.index import ProcessIdentity, RunIndex, RunRecord, remove_secrets, secrets_folder
from interactem.engine.inspections import inspect_folder
from interactem.engine.launchers import Launcher
from interactem.engine.launching import make_launcher, make_ready
from interactem.engine.permissions import all_permissions
from interactem.engine.plan import LauncherName, Plan, largest_payload, make_plan
from interactem.engine.progress import OperatorProgress
from interactem.engine.supervisor import Observer, Supervisor
from interactem.engine.surroundings import Surroundings
from interactem.engine.watch import Watch, check_syntax
from interactem.runtime.connections import Address, Storer, connect
from interactem.runtime.errors import TransportError
from interactem.spec import Graph, Problem, SpecError
from interactem.spec.pipelines import operator_path

NO_STORE = "has no store of its own any more; if it used a broker of yours, name that with --broker URL"
OWN_PAYLOAD = 8 * MEBIBYTE
MAX_MESSAGE = 1024 * MEBIBYTE
LEAST_PAYLOAD = MEBIBYTE // 2
"""Of a broker that is not the run's own: a batch must fit in."""
EXTERNAL_STORE = 4096 * MEBIBYTE
"""What a run takes of a broker that is not its own, at most."""
MAX_STORE = 65_536 * MEBIBYTE
MIN_STORE = 64 * MEBIBYTE
CHECK_SECONDS = 5.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run that can start: its plan, its folder, and each operator's environment by its name in the catalog.

    `broker` is the server to use; None for one of the run's own.
    """

    plan: Plan
    folder: RunFolder
    environments: Mapping[str, Environment]
    broker: Address | None = None
    connections: RunConnections = field(default_factory=RunConnections)

    @property
    def run(self) -> str:
        return self.plan.run


@dataclass(frozen=True, slots=True)
class RunResult:
    """What has become of a run; `operators` has the numbers of each by its name in the pipeline."""

    run: str
    name: str
    state: str
    seconds: float
    folder: str
    operators: dict[str, dict[str, int]]
    outputs: list[str]
    dead: int = 0
    reason: str = ""

    def to_value(self) -> dict[str, Any]:
        return asdict(self)


async def prepare(
    graph: Graph,
    folders: Mapping[str, Path],
    *,
    run_dir: Path | None = None,
    broker: str | None = None,
    launcher: LauncherName = "process",
    locked: Path | None = None,
    connections: Path | None = None,
    progress: Progress = lambda operator, text: None,
) -> PreparedRun:
    """Check everything, make environments or find images, and lay down the run's folder.

    Nothing is left of the folder on an error. `folders` has the folder of each operator that the graph does not name
    by its image. `broker` is the address of an existing NATS server; without it the run starts one of its own. With
    `locked`, the plan.json of an earlier run, containers are of exactly its images. `connections` is the file with the
    connections' values. Raises `SpecError` for a graph that does not hold and for connections that cannot be resolved,
    `DependencyError`, `OperatorError` for a `run.py` that does not load, `ContainerError` for engines and images,
    `RunFolderError`, and `BrokerError` or `TransportError` for a server that cannot be used.
    """
    graph.check()
    resolved = connections_of_graph(graph, connections)
    names = dict.fromkeys(operator.operator for operator in graph.operators.values())
    used = {name: folders[name].resolve() for name in names if name in folders}
    if launcher == "process":
        _check_folders(graph, used)
    run = new_run_id()
    place = run_dir or Path("runs") / run
    store_bytes = _check_place(place, own_broker=broker is None)
    images = {name: graph.catalog[name].image for name in names}
    pinned = None if locked is None else read_plan(locked).images
    ready = await make_ready(launcher, used, images, progress, locked=pinned, source=str(locked))
    address, payload = await _reachable(run, broker)
    payload = max(LEAST_PAYLOAD, min(payload, largest_payload(graph, store_bytes)))
    plan = _with_absolute_mounts(make_plan(graph, run, used, max_payload=payload, max_message=MAX_MESSAGE))
    plan = replace(plan, launcher=launcher, images=dict(ready.images), connections=resolved.file)
    if ready.user is not None:
        for remark in remarks(plan, ready.user):
            progress(*remark)
    return PreparedRun(plan, _laid_down(place, plan), ready.environments, address, resolved)


def _check_folders(graph: Graph, folders: Mapping[str, Path]) -> None:
    problems = [
        Problem(
            graph.source,
            operator_path(key, "image"),
            f"the operator in the image {operator.operator} can only be run in a container",
            "add --launcher podman or docker, or name an operator of the catalog",
        )
        for key, operator in graph.operators.items()
        if operator.operator not in folders
    ]
    if problems:
        raise SpecError(problems)


def _check_place(place: Path, *, own_broker: bool) -> int:
    """Before the environments are made, which may take minutes: whether a run can be in this folder at all.

    Returns how much its broker can store, at least.
    """
    if (place / "events.jsonl").exists():
        raise RunFolderError(place, FOLDER_TAKEN)
    existing = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    store_bytes = min(MAX_STORE, store_limit(free)) if own_broker else MIN_STORE
    if min(store_bytes, free) < MIN_STORE:
        room = f"{free // MEBIBYTE:,} MiB are free"
        raise RunFolderError(place, f"its disk is nearly full ({room}): make room, or give another with --run-dir")
    return store_bytes


def _laid_down(place: Path, plan: Plan) -> RunFolder:
    new = not place.exists()
    folder = RunFolder.create(place)
    try:
        folder.write_plan(plan.to_value())
    except BaseException:
        folder.events.unlink()
        if new:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


async def _reachable(run: str, broker: str | None) -> tuple[Address | None, int]:
    """Where a broker is that is not the run's own, and how large a message it takes. Raises where it is of no use."""
    if broker is None:
        return None, OWN_PAYLOAD
    address = _address(run, broker)
    try:
        client = await connect(address, f"{run} check", patience=CHECK_SECONDS)
        try:
            await _check_jetstream(client, address)
        finally:
            await client.close()
    except BaseException:
        remove_secrets(run)
        raise
    return address, min(OWN_PAYLOAD, client.max_payload)


async def _check_jetstream(client: Client, address: Address) -> None:
    if client.max_payload < LEAST_PAYLOAD:
        least = f"its max_payload is {client.max_payload:,} bytes, and at least {LEAST_PAYLOAD:,} are needed"
        raise BrokerError(f"the broker at {address.url} is of no use: {least}")
    storer = Storer(client)
    await storer.open()
    try:
        answer = await storer.ask("$JS.API.INFO", None, patience=CHECK_SECONDS)
    except TransportError:
        raise BrokerError(f"the broker at {address.url} has no JetStream: start it with: nats-server -js") from None
    if "error" in answer:
        why = answer["error"].get("description", answer["error"])
        raise BrokerError(f"the broker at {address.url} does not let this user store anything: {why}")


def _with_absolute_mounts(plan: Plan) -> Plan:
    """Whoever resumes the run may do so from another folder."""
    operators = tuple(
        replace(op, mounts={name: str(Path(path).expanduser().absolute()) for name, path in op.mounts.items()})
        for op in plan.operators
    )
    return replace(plan, operators=operators)


async def reopen(
    path: Path,
    *,
    broker: str | Address | None = None,
    again: bool = False,
    progress: Progress = lambda operator, text: None,
) -> PreparedRun:
    """A run that has not come to its end, to be gone on with; with `again` also one that has.

    Raises `RunFolderError` where there is none, or nothing to go on with, and `SpecError` for connections that cannot
    be resolved any more.
    """
    folder = RunFolder.open(path)
    plan = Plan.from_value(folder.read_plan())
    result = collect(path)
    if result is not None and result.state == "completed" and not again:
        raise RunFolderError(folder.path, f"the run {plan.run} is complete; start a new one with: pipeline run")
    resolved = connections_of_plan(plan)
    used = {operator.operator: Path(operator.folder) for operator in plan.operators if operator.folder}
    names = {name: image.name for name, image in plan.images.items()}
    ready = await make_ready(plan.launcher, used, names, progress, locked=plan.images, source=str(folder.plan))
    if isinstance(broker, str):
        broker, _ = await _reachable(plan.run, broker)
    elif broker is None and _was_external(folder):
        raise RunFolderError(folder.path, f"run {plan.run} {NO_STORE}")
    return PreparedRun(plan, folder, ready.environments, broker, resolved)


def read_plan(path: Path) -> Plan:
    """The plan in a plan.json, wherever it lies. Raises `RunFolderError` where there is none."""
    folder = RunFolder(path.parent)
    folder.plan = path
    if not path.is_file():
        raise RunFolderError(path, "there is no such file; give the plan.json of an earlier run")
    try:
        return Plan.from_value(folder.read_plan())
    except RunFolderError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(path, f"is no plan of a run ({error})") from None


def _was_external(folder: RunFolder) -> bool:
    """Whether the run was started before, and not with a broker of its own."""
    return not (folder.broker / "store").is_dir() and folder.events.stat().st_size > 0


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
        return await _execute(prepared, launcher, observe, started, watch)


async def _execute(
    prepared: PreparedRun,
    launcher: Launcher | None,
    observe: Observer,
    started: Callable[[Supervisor], None],
    watch: Callable[[str], None] | None,
) -> RunResult:
    begun = time.monotonic()
    folder, plan = prepared.folder, prepared.plan
    folder.summary.unlink(missing_ok=True)  # an earlier execution's: it tells how this one has ended, not that
    supervisor: Supervisor | None = None
    state, reason = "failed", ""
    try:
        with EventLog(folder.events) as events:
            launcher = launcher or await make_launcher(plan, events.record)
            async with _serving(prepared) as (address, store_bytes, broker):
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
                    connections=prepared.connections.lay_down(secrets_folder(plan.run)),
                    tell=watch or (lambda text: None),
                )
                supervisor = Supervisor(plan, around, observe)
                started(supervisor)
                async with nullcontext() if watch is None else _watch(prepared, around, supervisor).running():
                    state = await supervisor.run()
                reason = supervisor.reason
    except BrokerError as error:  # it did not start
        reason = str(error)
    rows = supervisor.progress() if supervisor else [OperatorProgress(o.key, o.replicas) for o in plan.operators]
    result = RunResult(
        run=plan.run,
        name=plan.name,
        state=state,
        seconds=round(time.monotonic() - begun, 3),
        folder=str(folder.path),
        operators={row.name: _numbers(row) for row in rows},
        outputs=sorted(str(path) for path in folder.outputs.rglob("*") if path.is_file()),
        dead=supervisor.dead if supervisor else 0,
        reason=reason,
    )
    return _settled(prepared, result)


def _watch(prepared: PreparedRun, around: Surroundings, supervisor: Supervisor) -> Watch:
    """A watch that has taken what there is now."""

    async def check(name: str, folder: Path) -> str | None:
        if prepared.plan.in_containers:
            return await check_syntax(name, folder)
        return await inspect_folder(folder, prepared.environments[name].python)

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
    if result.state == "completed" and not result.dead:
        shutil.rmtree(folder.broker, ignore_errors=True)
    try:
        folder.write_summary(result.to_value())
    except OSError as error:
        parts = [result.reason, f"the summary could not be written: {error.strerror}"]
        result = replace(result, reason="; ".join(filter(None, parts)))
    RunIndex().update(result.run, state=result.state)
    return result


@asynccontextmanager
async def _serving(prepared: PreparedRun) -> AsyncIterator[tuple[Address, int, EmbeddedBroker | None]]:
    """The run's broker, and the run in the index for as long as it serves."""
    broker: EmbeddedBroker | None = None
    _register(prepared, Address(""))
    try:
        if prepared.broker is not None:
            address, store_bytes = prepared.broker, EXTERNAL_STORE
        else:
            broker, store_bytes = await _own_broker(prepared.plan, prepared.folder)
            address = Address(broker.url, broker.credentials)
        _register(prepared, address)
        yield address, store_bytes, broker
    finally:
        if broker is not None:
            await broker.stop()
        remove_secrets(prepared.run)


async def _own_broker(plan: Plan, folder: RunFolder) -> tuple[EmbeddedBroker, int]:
    stored = sum(file.stat().st_size for file in folder.broker.rglob("*") if file.is_file())
    store_bytes = min(MAX_STORE, store_limit(shutil.disk_usage(folder.path).free, stored))
    if store_bytes < MIN_STORE:
        raise BrokerError(f"the disk of {folder.path} is nearly full; make room, or give another folder with --run-dir")
    broker = await EmbeddedBroker.start(
        folder.broker,
        secrets_folder(plan.run),
        durability="process" if plan.durability == "process" else "power",
        store_bytes=store_bytes,
        max_payload=OWN_PAYLOAD,
        replicas=all_permissions(plan),
    )
    return broker, store_bytes


def _register(prepared: PreparedRun, address: Address) -> None:
    RunIndex().register(
        RunRecord(
            run=prepared.run,
            name=prepared.plan.name,
            folder=prepared.folder.path,
            supervisor=ProcessIdentity.of(os.getpid()),
            url=address.url,
            credentials=address.credentials,
            started=utc_now().isoformat(),
            state="running",
        )
    )


@asynccontextmanager
async def connected(record: RunRecord, broker: str | None = None) -> AsyncIterator[tuple[Plan, Storer]]:
    """A way to what a run has in its broker; of one that does not run, its broker is started for the while.

    `broker` is the address of the server, if it was not the run's own. Raises `RunFolderError` where nothing of it
    is left.
    """
    folder = RunFolder.open(record.folder)
    plan = Plan.from_value(folder.read_plan())
    async with AsyncExitStack() as stack:
        record = await _with_broker(record)
        if record.alive:
            address = Address(record.url, record.credentials)
        else:
            stack.enter_context(folder.held())
            stack.callback(remove_secrets, plan.run)
            address = await _awakened(plan, folder, broker, stack)
        client = await connect(address, f"{plan.run} visitor", patience=CHECK_SECONDS)
        stack.push_async_callback(client.close)
        storer = Storer(client)
        await storer.open()
        yield plan, storer


async def _with_broker(record: RunRecord) -> RunRecord:
    """The run's record once its broker is in it: one that was started a moment ago stands in the index before that."""
    while record.alive and not record.url:
        await asyncio.sleep(LOOK_SECONDS)
        record = RunIndex().find(record.run)
    return record


async def _awakened(plan: Plan, folder: RunFolder, broker: str | None, stack: AsyncExitStack) -> Address:
    """The broker of a run that does not run."""
    if broker is not None:
        return _address(plan.run, broker)
    result = collect(folder.path)
    if result is not None and result.state == "completed" and not result.dead:
        raise RunFolderError(folder.path, f"all of run {plan.run} was worked off: its broker holds nothing any more")
    if _was_external(folder):
        raise RunFolderError(folder.path, f"run {plan.run} {NO_STORE}")
    own, _ = await _own_broker(plan, folder)
    stack.push_async_callback(own.stop)
    return Address(own.url, own.credentials)


def collect(path: Path) -> RunResult | None:
    """What a run has left behind; None for one that has not ended, or was killed. Raises `RunFolderError`."""
    summary = RunFolder.open(path).read_summary()
    if summary is None:
        return None
    return RunResult(**{name: value for name, value in summary.items() if name != "version"})


def _numbers(row: OperatorProgress) -> dict[str, int]:
    names = ("replicas", "received", "sent", "retried", "dead", "restarts")
    return {name: getattr(row, name) for name in names}


def _address(run: str, url: str) -> Address:
    """A password in the address goes into a file that only the user reads: nothing else is passed on."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if parts.username is None:
        return Address(bare)
    credentials = secrets_folder(run) / "broker.json"
    login = {"user": unquote(parts.username), "password": unquote(parts.password or "")}
    write_private(credentials, json.dumps(login))
    return Address(bare, credentials)

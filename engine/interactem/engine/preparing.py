"""Runs before they start: everything that can go wrong before does so here."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from interactem.engine.arenas import find_room
from interactem.engine.broker import MEBIBYTE, store_limit
from interactem.engine.connections import RunConnections, connections_of_graph, connections_of_plan
from interactem.engine.containers.access import remarks
from interactem.engine.environments import Environment, Progress
from interactem.engine.errors import RunFolderError
from interactem.engine.external_brokers import LEAST_PAYLOAD, NO_STORE, reachable, was_external
from interactem.engine.folders import FOLDER_TAKEN, RunFolder, new_run_id
from interactem.engine.launching import make_ready
from interactem.engine.own_broker import MAX_STORE, MIN_STORE, OWN_PAYLOAD
from interactem.engine.plan import LauncherName, Plan, largest_payload, largest_state, make_plan, senders
from interactem.engine.results import collect
from interactem.runtime.connections import Address
from interactem.runtime.fitting import misfits
from interactem.runtime.path_mapping import PathRule, rules_text
from interactem.spec import Graph, Problem, SpecError
from interactem.spec.pipelines import operator_path
from interactem.spec.wording import join_path

MAX_MESSAGE = 1024 * MEBIBYTE


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


async def prepare(
    graph: Graph,
    folders: Mapping[str, Path],
    *,
    run_dir: Path | None = None,
    broker: str | None = None,
    launcher: LauncherName = "process",
    shm: bool = True,
    locked: Path | None = None,
    connections: Path | None = None,
    path_rules: Sequence[PathRule] = (),
    progress: Progress = lambda operator, text: None,
) -> PreparedRun:
    """Check everything, make environments or find images, and lay down the run's folder.

    Nothing is left of the folder on an error. `folders` has the folder of each operator that the graph does not name
    by its image. `broker` is the address of an existing NATS server; without it the run starts one of its own. With
    `locked`, the plan.json of an earlier run, containers are of exactly its images. `connections` is the file with the
    connections' values. `path_rules` are for kernels that map paths; mounts and paths are mapped before, by
    `with_mapped_paths`. Raises `SpecError` for a graph that does not hold and for connections that cannot be resolved,
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
    address, payload = (None, OWN_PAYLOAD) if broker is None else await reachable(run, broker)
    payload = max(LEAST_PAYLOAD, min(payload, OWN_PAYLOAD, largest_payload(graph, store_bytes)))
    arena, no_shm = (0, "--no-shm was given") if not shm else find_room().each(senders(graph))
    bounds = {"max_payload": payload, "max_message": MAX_MESSAGE, "max_state": largest_state(store_bytes)}
    made = make_plan(graph, run, used, **bounds, arena=arena)
    _check_kernels(graph, made, ready.kernels)
    plan = _with_absolute_mounts(made)
    plan = replace(plan, launcher=launcher, images=dict(ready.images), connections=resolved.file, no_shm=no_shm)
    plan = replace(plan, path_rules=rules_text(path_rules))
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


def _check_kernels(graph: Graph, plan: Plan, kernels: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `SpecError` where edges ask for what the kernels behind them do not do."""
    problems = [
        Problem(graph.source, join_path("$", "edges", one.edge, one.says), one.message, one.hint)
        for operator in plan.operators
        if operator.operator in kernels
        for one in misfits(kernels[operator.operator], operator.assignment)
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
    attached: bool = False,
    progress: Progress = lambda operator, text: None,
) -> PreparedRun:
    """A run that has not come to its end, to be gone on with; with `again` also one that has.

    With `attached` its replicas are at work: their code is not looked at, and their connections are known. Raises
    `RunFolderError` where there is none, or nothing to go on with, and `SpecError` for connections that cannot be
    resolved any more.
    """
    folder = RunFolder.open(path)
    plan = read_plan(folder.plan)
    result = collect(path)
    if result is not None and result.state == "completed" and not again:
        raise RunFolderError(folder.path, f"the run {plan.run} is complete; start a new one with: pipeline run")
    resolved = RunConnections() if attached else connections_of_plan(plan)
    used = {operator.operator: Path(operator.folder) for operator in plan.operators if operator.folder}
    names = {name: image.name for name, image in plan.images.items()}
    source = str(folder.plan)
    ready = await make_ready(
        plan.launcher, used, names, progress, locked=plan.images, source=source, inspect=not attached
    )
    if isinstance(broker, str):
        broker, _ = await reachable(plan.run, broker)
    elif broker is None and not attached and was_external(folder):
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
    except ValueError as error:
        raise RunFolderError(path, f"is no plan of a run ({error})") from None

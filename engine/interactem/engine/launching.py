"""What a run's replicas are started from, made ready before anything starts, and the launcher that starts them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from interactem.engine.catalog import find_root
from interactem.engine.containers import specs
from interactem.engine.containers.access import remarks
from interactem.engine.containers.arguments import Identity, RunsAs, runs_as
from interactem.engine.containers.connecting import connect, with_files
from interactem.engine.containers.engines import Engine, EngineName
from interactem.engine.containers.leftovers import remove_of_run
from interactem.engine.containers.pulling import find_pinned, locked_images, pin_images
from interactem.engine.environments import Environment, Progress, prepare_all
from interactem.engine.inspections import Kernel, inspect_all
from interactem.engine.launchers import Launcher
from interactem.engine.plan import LauncherName, PinnedImage, Plan
from interactem.engine.processes import ProcessLauncher
from interactem.runtime.tracing import exporters_wanted
from interactem.spec import OperatorSpec


@dataclass(frozen=True, slots=True)
class Ready:
    """What operators are run from, by their names in the catalog: environments, or images."""

    environments: Mapping[str, Environment] = field(default_factory=dict)
    images: Mapping[str, PinnedImage] = field(default_factory=dict)
    user: RunsAs | None = None
    """Whom containers run as, where they are not run as ourselves."""
    kernels: Mapping[str, Kernel] = field(default_factory=dict)
    """What is known of their code, where it was looked at."""


async def make_ready(
    launcher: LauncherName,
    folders: Mapping[str, Path],
    images: Mapping[str, str],
    progress: Progress,
    *,
    locked: Mapping[str, PinnedImage] | None = None,
    source: str = "",
    inspect: bool = True,
) -> Ready:
    """Make environments for processes, or find and pull images for containers: the locked ones, if there are any.

    `inspect` says whether to see that operators' code loads.

    Raises `DependencyError`, `OperatorError`, `NoEngineError` and `MissingImageError`.
    """
    if launcher == "process":
        extras = ("otel",) if exporters_wanted(os.environ) else ()
        made = dict(zip(folders, await prepare_all(folders.values(), progress=progress, extras=extras), strict=True))
        return Ready(environments=made, kernels=await inspect_all(folders, made) if inspect else {})
    chosen = None if locked is None else locked_images(images, locked, source)
    engine = await _engine(launcher, folders.values())
    try:
        pinning = pin_images(engine, images, progress) if chosen is None else find_pinned(engine, chosen, progress)
        return Ready(images=await pinning, user=_somebody_else(engine))
    finally:
        await asyncio.to_thread(engine.close)


async def specs_in_images(
    launcher: EngineName, images: Iterable[str], progress: Progress, *, place: Path
) -> dict[str, OperatorSpec]:
    """The specs of the operators in these images, by the images' names; images are pulled if need be.

    `place` is a folder of the project. Raises `NoEngineError`, `MissingImageError`, and `SpecError` for images without
    an operator.
    """
    engine = await _engine(launcher, [place])
    try:
        return await asyncio.to_thread(specs.specs_in_images, engine, images, progress)
    finally:
        await asyncio.to_thread(engine.close)


async def make_launcher(plan: Plan, record: Callable[..., None]) -> Launcher:
    """The launcher of a plan; nothing of the run is left in its engine. `record` takes events.

    Raises `NoEngineError`.
    """
    if plan.launcher == "process":
        for operator in plan.operators:
            if limits := operator.resources.model_dump(exclude_none=True):
                text = f"its limits ({', '.join(limits)}) are not set: those of processes are the machine's"
                record("limit", operator=operator.key, reason=text)
        return ProcessLauncher()
    from interactem.engine.containers.launcher import ContainerLauncher

    engine = await _engine(plan.launcher, (Path(operator.folder) for operator in plan.operators if operator.folder))
    record("engine", engine=engine.name, release=engine.version, socket=engine.socket)
    for name in await asyncio.to_thread(remove_of_run, engine, plan.run):
        record("removed", container=name, reason="it was left by a supervisor that was killed")
    if user := _somebody_else(engine):
        for key, text in remarks(plan, user):
            record("warning", operator=key, reason=text)
    return ContainerLauncher(engine, record=record)


def _somebody_else(engine: Engine) -> RunsAs | None:
    user = runs_as(Identity(os.getuid(), os.getgid(), ""), engine.abilities(), engine.name)
    return user if user.outside != os.getuid() else None


async def _engine(name: EngineName, folders: Iterable[Path]) -> Engine:
    places = [Path.cwd(), *map(find_root, folders)]
    return await asyncio.to_thread(connect, name, with_files(os.environ, places))

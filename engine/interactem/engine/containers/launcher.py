"""Replicas as containers, whatever the engine.

Each container has a thread that lives with it: it makes it, hands on what it prints, and removes it in the end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

from interactem.engine.containers.arguments import (
    SUPERVISOR_LABEL,
    Identity,
    RunsAs,
    container_options,
    runs_as,
    unset_limits,
)
from interactem.engine.containers.engines import End, Engine, Options, Output
from interactem.engine.containers.errors import ContainerError, NoEngineError
from interactem.engine.containers.guard import ContainerGuard
from interactem.engine.errors import LaunchError
from interactem.engine.index import ProcessIdentity
from interactem.engine.launchers import Exit, Launch, Place
from interactem.engine.lines import LineCutter
from interactem.runtime.init import OUT_OF_MEMORY, SIGNALLED

Record = Callable[..., None]
"""Takes events, as `EventLog.record` does."""

GPU_ADVICE = "; it asks for GPUs, which need the NVIDIA Container Toolkit (with podman, also its CDI specification)"
AWAY_SECONDS = 60.0
"""How long an engine may be away, such as when it is restarted, before its containers are given up."""
AWAY_LOOK_SECONDS = 0.5


def supervisor_label(pid: int) -> str:
    """A process as the label of its containers has it."""
    process = ProcessIdentity.of(pid)
    return f"{process.pid}:{process.started}:{process.machine}"


class ContainerLauncher:
    """Starts replicas as containers of `engine`, which end with us.

    `record` is told of limits that cannot be set, and of what the engine warns of.
    """

    def __init__(self, engine: Engine, *, record: Record = lambda kind, **details: None) -> None:
        self._engine = engine
        self._record = record
        self._handles: set[ContainerHandle] = set()
        self._told: set[tuple[str, str]] = set()
        self._identity = Identity(os.getuid(), os.getgid(), supervisor_label(os.getpid()))
        self._guard = ContainerGuard(engine.socket, f"{SUPERVISOR_LABEL}={self._identity.supervisor}")
        self._abilities = engine.abilities()
        self._user = runs_as(self._identity, self._abilities, engine.name)

    async def start(self, launch: Launch) -> ContainerHandle:
        if not launch.image:
            raise LaunchError(launch.operator, launch.replica, "it has no image")
        self._guard.watch()
        self._tell_of_limits(launch)
        options = container_options(launch, self._identity, self._user, self._abilities)
        handle = ContainerHandle(self._engine, launch, options, self._user, partial(self._tell, launch, "warning"))
        self._handles.add(handle)
        handle.ended.add_done_callback(lambda _: self._handles.discard(handle))
        try:
            warnings = await handle.started()
        except (ContainerError, OSError) as error:
            reason = f"{error}{GPU_ADVICE}" if options.gpus else str(error)
            raise LaunchError(launch.operator, launch.replica, reason) from None
        for warning in warnings:
            self._tell(launch, "warning", warning)
        return handle

    async def close(self) -> None:
        """Kill what still runs and wait until all of it is gone."""
        handles = list(self._handles)
        for handle in handles:
            handle.kill()
        await asyncio.gather(*(handle.wait() for handle in handles), return_exceptions=True)
        self._guard.close()
        await asyncio.to_thread(self._engine.close)

    def _tell_of_limits(self, launch: Launch) -> None:
        for limit in unset_limits(launch.resources, self._abilities):
            text = f"its limit of {limit} is not set: {self._engine.name} cannot do that on this machine"
            self._tell(launch, "limit", text)

    def _tell(self, launch: Launch, kind: str, text: str) -> None:
        """Once for each operator, however often its replicas start."""
        if (launch.operator, text) not in self._told:
            self._told.add((launch.operator, text))
            self._record(kind, operator=launch.operator, reason=text)


class ContainerHandle:
    """A replica's container."""

    def __init__(
        self, engine: Engine, launch: Launch, options: Options, user: RunsAs, warn: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._warn = warn
        self._launch = launch
        self._options = options
        self._user = user
        self._loop = asyncio.get_running_loop()
        self._killed = Event()
        self._container = ""
        self._started: Future[list[str]] = Future()
        self.ended: asyncio.Future[Exit] = self._loop.create_future()
        self.ended.add_done_callback(_look_at)
        Thread(target=self._live, name=f"container {options.name}", daemon=True).start()

    @property
    def id(self) -> str:
        return self._options.name

    async def started(self) -> list[str]:
        """What the engine warns of, once it runs. Raises `ContainerError` if it does not."""
        return await asyncio.wrap_future(self._started)

    async def wait(self) -> Exit:
        return await asyncio.shield(self.ended)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._killed.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.ended.done() or not self._container:
            return

        def send() -> None:
            with suppress(ContainerError):  # it has ended, or its thread will be told so too
                self._engine.signal(self._container, number)

        Thread(target=send, name=f"signal {number} to {self.id}", daemon=True).start()

    # in its thread

    def _live(self) -> None:
        try:
            end = self._run()
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            self._tell(error)
        else:
            self._tell(self._exit(end))

    def _run(self) -> End:
        for place in (*self._launch.places.values(), *self._launch.binds):
            hand_over(place, self._user, os.getuid())
        self._container, warnings = self._engine.create(self._options)
        try:
            with closing(self._engine.attach(self._container)) as output:
                self._engine.start(self._container)
                if self._killed.is_set():  # while it was made
                    self._engine.signal(self._container, signal.SIGKILL)
                self._started.set_result(warnings)
                return self._until_end(output)
        finally:
            self._remove()

    def _remove(self) -> None:
        try:
            self._engine.remove(self._container)
        except ContainerError as error:
            text = f"its container {self.id} is left ({error}); remove it with: interactem doctor --clean"
            self._loop.call_soon_threadsafe(self._warn, text)

    def _until_end(self, output: Output) -> End:
        """Log what it prints until it ends, also where the engine is away for a while: containers outlive that."""
        try:
            self._log(output)
            return self._engine.wait(self._container)
        except NoEngineError as error:
            self._until_back(error)
        if self._engine.runs(self._container):
            with closing(self._engine.attach(self._container)) as again:
                if self._engine.runs(self._container):  # it did not end in between
                    return self._until_end(again)
        return self._engine.wait(self._container)

    def _until_back(self, error: NoEngineError) -> None:
        until = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < until:
            time.sleep(AWAY_LOOK_SECONDS)
            try:
                self._engine.runs(self._container)
            except NoEngineError as still:
                error = still
            else:
                return
        raise error

    def _log(self, output: Output) -> None:
        cutters: dict[int, LineCutter] = defaultdict(LineCutter)  # one for each stream, which share no lines
        for stream, chunk in output:
            self._hand_on(cutters[stream].feed(chunk))
        for lines in (cutter.end() for cutter in cutters.values()):
            self._hand_on(lines)

    def _hand_on(self, lines: list[bytes]) -> None:
        """Log lines in the loop's thread, and wait for that: who prints without end must not fill the memory."""
        if not lines:
            return
        logged = Event()

        def log() -> None:
            for line in lines:
                self._launch.log(line)
            logged.set()

        self._loop.call_soon_threadsafe(log)
        while not logged.wait(1.0):
            if self._loop.is_closed():
                raise RuntimeError("the loop ended before the container")

    def _exit(self, end: End) -> Exit:
        if end.code == OUT_OF_MEMORY or (end.out_of_memory and end.code == SIGNALLED + signal.SIGKILL):
            return Exit(signal=signal.SIGKILL, out_of_memory=not self._killed.is_set())
        if SIGNALLED < end.code <= SIGNALLED + signal.NSIG:
            return Exit(signal=end.code - SIGNALLED)
        return Exit(code=end.code)

    def _tell(self, outcome: Exit | BaseException) -> None:
        def tell() -> None:
            if isinstance(outcome, Exit):
                self.ended.set_result(outcome)
            else:
                self.ended.set_exception(outcome)

        with suppress(RuntimeError):  # the loop ended before the container
            self._loop.call_soon_threadsafe(tell)


def _look_at(ended: asyncio.Future[Exit]) -> None:
    """Whoever waits gets the error; where nobody waits, it was told by the start already."""
    if not ended.cancelled():
        ended.exception()


def hand_over(place: Place, user: RunsAs, uid: int) -> None:
    """Make what is the replica's own belong to whom it runs as, where that is somebody else than we are."""
    if not place.owned or uid != 0:
        return
    about = place.path.stat()
    if (about.st_uid, about.st_gid) == (user.outside, user.group):
        return  # and what is in it: somebody else's code may have put links there since
    for folder, folders, files in os.walk(place.path):
        for name in (*folders, *files):
            os.chown(Path(folder, name), user.outside, user.group, follow_symlinks=False)
    os.chown(place.path, user.outside, user.group)

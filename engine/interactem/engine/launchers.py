"""What starts replicas: the shape that all launchers share, and one that starts nothing, for tests."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from interactem.spec import Resources


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder of this machine that a replica uses, and where it is inside a container."""

    path: Path
    inside: str
    writable: bool = False
    owned: bool = False
    """Whether it is the replica's own, whoever that runs as: the launcher sees to that."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of one replica. `log` takes each line that it prints, as bytes without the line's end.

    A process needs a `command`. A container needs an `image`, whose own command is run if none is given.
    """

    operator: str
    replica: int
    incarnation: int
    """How many times this replica was started before."""
    command: tuple[str, ...]
    environment: Mapping[str, str]
    """What is added to what the launcher itself gives."""
    folder: Path
    """The working folder of a process; a container has its image's."""
    log: Callable[[bytes], None]
    run: str = ""
    """The run's id."""
    image: str = ""
    """The id of the image."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """What the replica finds by environment variables: each is set to the path, or to the path inside."""
    binds: tuple[Place, ...] = ()
    """What is put into a container besides."""
    resources: Resources = field(default_factory=Resources)
    """The limits of a container."""
    shared_memory: int = 0
    """Bytes that its limit of memory is raised by: what it has in shared memory counts."""
    note: Mapping[str, Any] = field(default_factory=dict)
    """What the supervisor would have another one know that takes its place."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a replica ended: with a code, or by a signal."""

    code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False

    @property
    def ok(self) -> bool:
        return self.code == 0

    def __str__(self) -> str:
        if self.out_of_memory:
            return "killed: out of memory"
        if self.signal is None:
            return f"exit code {self.code}"
        try:
            return f"killed by {signal.Signals(self.signal).name}"
        except ValueError:  # a real-time signal
            return f"killed by signal {self.signal}"


class Handle(Protocol):
    """A replica that was started."""

    @property
    def id(self) -> str:
        """What the launcher's own tools know it by: a process id, a container's name."""
        ...

    async def wait(self) -> Exit:
        """How it ended, once it has; all of its output was logged then. Any number may wait, any number of times."""
        ...

    def terminate(self) -> None:
        """Ask it to drain and end. Does nothing to one that has ended."""
        ...

    def kill(self) -> None:
        """End it and everything that it started, now. Does nothing where all have ended."""
        ...


@dataclass(frozen=True, slots=True)
class Adopted:
    """A replica that an earlier supervisor has started, and that may have ended since."""

    handle: Handle
    incarnation: int
    note: Mapping[str, Any]
    seconds: float
    """Since it was started."""


class Launcher(Protocol):
    """What starts replicas."""

    async def start(self, launch: Launch) -> Handle:
        """Start a replica. Raises `LaunchError` where that cannot be done."""
        ...

    async def close(self) -> None:
        """Kill what still runs and wait until all of it is gone."""
        ...


@dataclass
class RecordedHandle:
    """A replica that exists in a test only; it ends when the test says so, or when it is killed."""

    launch: Launch
    id: str
    ends_on_terminate: bool = True
    terminated: bool = field(default=False, init=False)
    killed: bool = field(default=False, init=False)
    _exit: asyncio.Future[Exit] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._exit = asyncio.get_running_loop().create_future()

    def end(self, exit: Exit) -> None:
        """Let it end like this. Only the first end counts."""
        if not self._exit.done():
            self._exit.set_result(exit)

    @property
    def ended(self) -> bool:
        return self._exit.done()

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)

    def terminate(self) -> None:
        self.terminated = True
        if self.ends_on_terminate:
            self.end(Exit(code=0))

    def kill(self) -> None:
        self.killed = True
        self.end(Exit(signal=signal.SIGKILL))


class RecordingLauncher:
    """A launcher that starts nothing and remembers everything; the test decides how each replica ends.

    `handles` has all that were started, in order; `started()` waits for the next one. `failure` is raised by the
    next start, if it is set.
    """

    def __init__(self, *, ends_on_terminate: bool = True) -> None:
        self.handles: list[RecordedHandle] = []
        self.failure: Exception | None = None
        self._ends_on_terminate = ends_on_terminate
        self._ids = count(1)
        self._new: asyncio.Queue[RecordedHandle] = asyncio.Queue()

    @property
    def launches(self) -> list[Launch]:
        return [handle.launch for handle in self.handles]

    async def start(self, launch: Launch) -> RecordedHandle:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        handle = RecordedHandle(launch, f"recorded-{next(self._ids)}", self._ends_on_terminate)
        self.handles.append(handle)
        self._new.put_nowait(handle)
        return handle

    async def started(self) -> RecordedHandle:
        """The next replica that is started, or was and has not been asked for yet."""
        return await self._new.get()

    async def close(self) -> None:
        for handle in self.handles:
            if not handle.ended:
                handle.kill()

"""Replicas as local processes, each with a process group of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from interactem.engine.children import exit_code, read_lines
from interactem.engine.errors import LaunchError
from interactem.engine.guard import Guard
from interactem.engine.launchers import Exit, Launch
from interactem.engine.standbys import Standbys, Started
from interactem.engine.tether import PARENT

LAST_OUTPUT_SECONDS = 5.0

_OURS = ("INTERACTEM_",)
_PYTHONS = frozenset(
    {
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
        "PYTHONDONTWRITEBYTECODE",  # each start would compile all that it imports: a second and more
    }
)


def child_environment(environment: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a replica: what is `given`, and of our own what does not belong to our own Python."""
    kept = {name: value for name, value in environment.items() if name not in _PYTHONS and not name.startswith(_OURS)}
    # print() reaches the log when it is called, not when 8 kB have come together
    return {"PYTHONUNBUFFERED": "1", **kept, **given}


def _told(launch: Launch) -> dict[str, str]:
    return {**launch.environment, **{name: str(place.path) for name, place in launch.places.items()}}


class ProcessLauncher:
    """Starts replicas as processes of this machine, which die with us, and all that they started with them.

    Use it from one thread, and from one that lives as long as they should: their tie is to the thread that starts them.
    """

    def __init__(self) -> None:
        self._handles: set[ProcessHandle] = set()
        self._memory = OutOfMemoryKills.of_this_machine()
        self._guard = Guard()
        self._standbys = Standbys()

    async def start(self, launch: Launch) -> ProcessHandle:
        started = await self._forked(launch) or self._spawned(launch)
        self._guard.add(started.pid)
        handle = ProcessHandle(started, launch.log, self._memory)
        self._handles.add(handle)
        handle.ended.add_done_callback(lambda _: self._forget(handle))
        return handle

    async def _forked(self, launch: Launch) -> Started | None:
        """One that has died before, from a process that has done its imports; None where there can be none."""
        given = _told(launch)
        environment = child_environment(os.environ, {**given, PARENT: str(os.getpid())})
        standby = await self._standbys.find(launch, environment)
        return None if standby is None else await standby.become(given)

    def _spawned(self, launch: Launch) -> Started:
        try:
            # not asyncio's subprocess: its wait() may also wait for whoever else holds the output open
            process = subprocess.Popen(
                launch.command,
                cwd=launch.folder,
                env=child_environment(os.environ, {**_told(launch), PARENT: str(os.getpid())}),
                stdin=subprocess.DEVNULL if sys.platform == "linux" else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise LaunchError(launch.operator, launch.replica, reason) from None
        return Started(process.pid, cast("IO[bytes]", process.stdout), exit_code(process), process.stdin)

    def _forget(self, handle: ProcessHandle) -> None:
        self._handles.discard(handle)
        self._guard.remove(handle.pid)

    async def close(self) -> None:
        """Kill what still runs and wait until all of it is gone."""
        handles = list(self._handles)
        for handle in handles:
            handle.kill()
        await asyncio.gather(*(handle.wait() for handle in handles))
        self._standbys.close()
        self._guard.close()


class ProcessHandle:
    """A replica's process."""

    def __init__(self, started: Started, log: Callable[[bytes], None], memory: OutOfMemoryKills) -> None:
        self.pid = started.pid
        self._started = started
        self._memory = memory
        self._killed = False
        self.ended = asyncio.create_task(self._run(log), name=f"replica process {started.pid}")

    @property
    def id(self) -> str:
        return str(self.pid)

    async def wait(self) -> Exit:
        return await asyncio.shield(self.ended)

    def terminate(self) -> None:
        # only to the replica: what it started itself is its own to end
        if not self._started.code.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if not self._started.code.done():
            self._killed = True
            self._kill_group()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS: no permission where all are dead, not yet reaped
            os.killpg(self.pid, signal.SIGKILL)

    async def _run(self, log: Callable[[bytes], None]) -> Exit:
        output = asyncio.create_task(_log_output(self._started.output, log))
        code = await self._started.code
        self._kill_group()  # what it started and left behind, which may hold its output open too
        await asyncio.wait([output], timeout=LAST_OUTPUT_SECONDS)
        output.cancel()
        with suppress(asyncio.CancelledError):
            await output
        if self._started.input is not None:
            self._started.input.close()
        return self._exit(code)

    def _exit(self, code: int) -> Exit:
        if code >= 0:
            return Exit(code=code)
        out_of_memory = code == -signal.SIGKILL and not self._killed and self._memory.take()
        return Exit(signal=-code, out_of_memory=out_of_memory)


class OutOfMemoryKills:
    """The kernel's count of the processes that it killed to get memory, of which each explains one death."""

    def __init__(self, counter: Path | None) -> None:
        self._counter = counter
        self._explained = self._count()

    @classmethod
    def of_this_machine(cls) -> OutOfMemoryKills:
        """That of our own control group where there is one, else the machine's; on other systems there is none."""
        candidates = [Path("/proc/vmstat")]
        with suppress(OSError):
            for line in Path("/proc/self/cgroup").read_text().splitlines():
                if line.startswith("0::/"):
                    candidates.insert(0, Path("/sys/fs/cgroup", line[len("0::/") :], "memory.events"))
        return cls(next((path for path in candidates if path.is_file()), None))

    def take(self) -> bool:
        """Whether there is a kill that explains a death, and none of the deaths asked about before."""
        if self._explained >= self._count():
            return False
        self._explained += 1
        return True

    def _count(self) -> int:
        if self._counter is None:
            return 0
        with suppress(OSError):
            for line in self._counter.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
        return 0


async def _log_output(output: IO[bytes], log: Callable[[bytes], None]) -> None:
    async def take(lines: list[bytes]) -> None:
        for line in lines:
            log(line)

    await read_lines(output, take)

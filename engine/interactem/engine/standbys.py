"""Standbys: processes with an operator's imports done, which become replicas that have to be started again.

To start Python and import what an operator needs takes up to a second of a processor's time; to fork a process that has
done it takes some milliseconds. Whoever never dies needs none: the first death makes it. The other end of the socket is
`interactem.runtime.standby`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import IO, Any

from interactem.engine.launchers import Launch
from interactem.runtime.standby import MESSAGE_BYTES, STANDBY

OUR_RUNTIME = ("-u", "-m", "interactem.runtime")


@dataclass(frozen=True, slots=True)
class Started:
    """A process that was started. `code` is its exit code once there is one, negative for a signal."""

    pid: int
    output: IO[bytes]
    code: asyncio.Future[int]
    input: IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A replica that a standby was asked for: its process id and its exit code, once there are any."""

    pid: asyncio.Future[int]
    code: asyncio.Future[int]


class Standby:
    """Our end of one standby. `environment` is what it has of its own; each replica's comes with the request."""

    def __init__(self, launch: Launch, environment: Mapping[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[bool] = self._loop.create_future()
        self._numbers = count(1)
        self._asked: dict[int, _Asked] = {}
        self._retired = False
        self.unfit = ""
        """Why replicas of this operator cannot be made in this way."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                launch.command,
                cwd=launch.folder,
                env={**environment, STANDBY: str(theirs.fileno())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._channel.setblocking(False)
        self._loop.add_reader(self._channel, self._hear)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._channel.fileno() < 0

    async def ready(self) -> bool:
        """Once it has imported everything; False where it is not fit, or ends before."""
        return await asyncio.shield(self._ready)

    async def become(self, environment: Mapping[str, str]) -> Started | None:
        """A replica with this environment; None where the standby has ended."""
        if self.ended:
            return None
        number = next(self._numbers)
        asked = self._asked[number] = _Asked(self._loop.create_future(), self._loop.create_future())
        request = json.dumps({"number": number, "environment": dict(environment)}).encode()
        ours, theirs = os.pipe()
        output = os.fdopen(ours, "rb", 0)
        try:
            socket.send_fds(self._channel, [request], [theirs])
            return Started(await asked.pid, output, asked.code)
        except BaseException as error:
            output.close()
            if isinstance(error, OSError | EOFError):
                return None
            raise
        finally:
            os.close(theirs)

    def retire(self) -> None:
        """End it when the last replica has that it has become."""
        self._retired = True
        if not self._asked:
            self.close()

    def close(self) -> None:
        """End it now, and with it all that it has become."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._gone()

    def _hear(self) -> None:
        try:
            text = self._channel.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            text = b""
        if text:
            self._take(json.loads(text))
        else:
            self.close()

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.unfit = message["reason"]
            self._ready.set_result(message["ready"])
            return
        ended = "ended" in message
        number = message["ended" if ended else "started"]
        asked = self._asked[number]
        if not asked.pid.done():
            asked.pid.set_result(message["pid"])
        if ended:
            del self._asked[number]
            _settle(asked.code, message["code"])
            if self._retired and not self._asked:
                self.close()

    def _gone(self) -> None:
        if self.ended:
            return
        self._loop.remove_reader(self._channel)
        self._channel.close()
        if not self._ready.done():
            self._ready.set_result(False)
        for asked in self._asked.values():
            if not asked.pid.done():
                asked.pid.set_exception(EOFError())
            elif not asked.pid.cancelled():
                self._end_with_it(asked.pid.result(), asked.code)
        self._asked.clear()

    def _end_with_it(self, pid: int, code: asyncio.Future[int]) -> None:
        """The system kills who is tied to a process that ends, but we may know of the one before the other."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            _settle(code, -signal.SIGKILL)
            return

        def dead() -> None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
            _settle(code, -signal.SIGKILL)

        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        self._loop.add_reader(descriptor, dead)


def _settle(code: asyncio.Future[int], value: int) -> None:
    if not code.done():  # whoever waits for it may have been cancelled
        code.set_result(value)


class Standbys:
    """The standbys of a launcher, one for each operator that needed one."""

    def __init__(self) -> None:
        self._current: dict[str, tuple[object, Standby]] = {}
        self._all: list[Standby] = []

    async def find(self, launch: Launch, environment: Mapping[str, str]) -> Standby | None:
        """One that is ready to become this replica; None where that has to be started by itself."""
        if sys.platform != "linux" or launch.incarnation == 0 or launch.command[1:-1] != OUR_RUNTIME:
            return None
        try:
            standby = self._of(launch, environment)
        except OSError:
            return None
        return standby if await standby.ready() else None

    def _of(self, launch: Launch, environment: Mapping[str, str]) -> Standby:
        # new code may import something else
        version = launch.command, os.stat(launch.command[-1]).st_mtime_ns
        known, standby = self._current.get(launch.operator, (None, None))
        if standby is not None and known == version and (standby.unfit or not standby.ended):
            return standby
        if standby is not None:
            standby.retire()
        standby = Standby(launch, environment)
        self._current[launch.operator] = version, standby
        self._all = [other for other in self._all if not other.ended] + [standby]
        return standby

    def close(self) -> None:
        """End them all, and with them all that they have become."""
        for standby in self._all:
            standby.close()

"""A detached run's keeper, as its supervisor has it: started or joined, a launcher, and a broker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from interactem.engine.errors import EngineError
from interactem.engine.folders import RunFolder
from interactem.engine.index import KeeperRecord, ProcessIdentity
from interactem.engine.keeper import SOCKET
from interactem.engine.kept import (
    LINE_BYTES,
    VERSION,
    connecting,
    error_from_value,
    exit_from_value,
    launch_to_value,
    to_line,
)
from interactem.engine.launchers import Adopted, Exit, Launch

END_SECONDS = 15.0
"""How long the keeper may take to end when it was told to."""


class KeeperLostError(EngineError):
    """The keeper has ended, and with it everything that it kept. The run can be gone on with."""


class Keeper:
    """The connection to a keeper; `start` or `join` makes one."""

    def __init__(self, record: KeeperRecord, process: subprocess.Popen[bytes] | None = None) -> None:
        self.record = record
        self.lost = False
        """Whether it has ended without having been told to."""
        self.adopted: dict[tuple[str, int], Adopted] = {}
        """The replicas of an earlier supervisor, by operator and number."""
        self.has_broker = False
        """Whether an earlier supervisor has started the run's own broker."""
        self._process = process
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}

    @classmethod
    async def start(cls, folder: RunFolder, secrets: Path, patience: float) -> Keeper:
        """Start one. `patience` is for how long it keeps the run without a supervisor, in seconds."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = _spawn(folder, secrets, patience, theirs)
        record = KeeperRecord(ProcessIdentity.of(process.pid), secrets / SOCKET)
        return await cls(record, process)._open(ours)

    @classmethod
    async def join(cls, record: KeeperRecord) -> Keeper:
        """Take the place of a supervisor that is gone.

        Raises `KeeperLostError`, and `EngineError` for one that another version of interactem has started.
        """
        try:
            return await cls(record)._open(connecting(record.socket))
        except OSError:
            raise KeeperLostError(f"there is no keeper at {record.socket} any more") from None

    async def _open(self, connection: socket.socket) -> Keeper:
        reader, self._writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_BYTES)
        self._listening = asyncio.create_task(self._listen(reader))
        opened = await self.ask("open")
        if (version := opened.get("version", 0)) != VERSION:
            self._writer.close()
            self._listening.cancel()
            words = f"the run's keeper speaks version {version}, this interactem version {VERSION}"
            raise EngineError(f"{words}; use the interactem that the run was started with")
        self.has_broker = bool(opened["broker"])
        for value in opened["replicas"]:
            handle = KeptHandle(self, value["number"], value["id"])
            adopted = Adopted(handle, value["incarnation"], value["note"], value["seconds"])
            self.adopted[value["operator"], value["replica"]] = adopted
        return self

    async def ask(self, do: str, **details: Any) -> Any:
        """Its answer. Raises `KeeperLostError`, and what went wrong there as an `EngineError`."""
        if self.lost:
            raise self._loss()
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(to_line({"number": number, "do": do, **details}))
            return await answer
        finally:
            del self._asked[number]

    def tell(self, do: str, **details: Any) -> None:
        """The same without waiting for an answer."""
        if not self.lost:
            self._writer.write(to_line({"number": next(self._numbers), "do": do, **details}))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while (line := await reader.readline()).endswith(b"\n"):
                value = json.loads(line)
                answer = self._asked.get(value["number"])
                if answer is None or answer.done():
                    continue
                if "error" in value:
                    answer.set_exception(error_from_value(value["error"]))
                else:
                    answer.set_result(value["result"])
        self.lost = True
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(self._loss())

    def _loss(self) -> KeeperLostError:
        return KeeperLostError(f"the run's keeper (process {self.record.process.pid}) is gone, and all that it kept")

    async def events(self, record: Callable[..., None]) -> None:
        """Record the events of its launcher for as long as it lives."""
        written = 0
        with suppress(KeeperLostError):
            while True:
                events = await self.ask("events", written=written)
                for kind, details in events:
                    record(kind, **details)
                written = len(events)

    async def end(self) -> None:
        """End it, and wait until it is gone. Does nothing where it has ended."""
        with suppress(KeeperLostError, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.ask("end")
        self._writer.close()
        await asyncio.to_thread(self._wait)
        self._listening.cancel()

    def _wait(self) -> None:
        until = time.monotonic() + END_SECONDS
        while self.record.process.alive:
            if time.monotonic() > until:
                os.kill(self.record.process.pid, signal.SIGKILL)
            time.sleep(0.01)
        if self._process is not None:
            self._process.wait()


def _spawn(folder: RunFolder, secrets: Path, patience: float, theirs: socket.socket) -> subprocess.Popen[bytes]:
    arguments = [str(folder.path), str(secrets), str(patience), str(theirs.fileno())]
    with (folder.path / "supervisor.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "interactem.engine.keeper", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )


class KeptHandle:
    """A replica that the keeper has started."""

    def __init__(self, keeper: Keeper, number: int, id: str) -> None:
        self._keeper = keeper
        self._number = number
        self._id = id

    @property
    def id(self) -> str:
        return self._id

    async def wait(self) -> Exit:
        try:
            return exit_from_value(await self._keeper.ask("wait", replica=self._number))
        except KeeperLostError:
            return Exit(signal=signal.SIGKILL)

    def terminate(self) -> None:
        self._keeper.tell("signal", replica=self._number, kill=False)

    def kill(self) -> None:
        self._keeper.tell("signal", replica=self._number, kill=True)


class KeptLauncher:
    """Starts replicas as the keeper's."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def start(self, launch: Launch) -> KeptHandle:
        started = await self._keeper.ask("start", launch=launch_to_value(launch))
        return KeptHandle(self._keeper, started["number"], started["id"])

    async def close(self) -> None:
        """Kill what still runs and wait until all of it is gone."""
        with suppress(KeeperLostError):
            await self._keeper.ask("close")


class KeptBroker:
    """The run's own broker, as a child of the keeper; `have` starts it if need be."""

    def __init__(self, keeper: Keeper, described: dict[str, Any]) -> None:
        self._keeper = keeper
        self.url = str(described["url"])
        self.credentials = Path(described["credentials"])
        self.log = Path(described["log"])
        self.store_bytes = int(described["store_bytes"])

    @classmethod
    async def have(cls, keeper: Keeper) -> KeptBroker:
        """Raises `BrokerError`."""
        return cls(keeper, await keeper.ask("broker"))

    def credentials_of(self, user: str) -> Path:
        return self.credentials.with_name(f"{user}.json")

    async def wait(self) -> int:
        try:
            return int(await self._keeper.ask("wait for broker"))
        except KeeperLostError:
            return -signal.SIGKILL

    async def restart(self) -> None:
        await self._keeper.ask("restart broker")

    async def stop(self) -> None:
        with suppress(KeeperLostError):
            await self._keeper.ask("stop broker")

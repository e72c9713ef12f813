"""What the references with NATS share: the server that runs start, and processes that end with the one that has it."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from interactem.engine.broker import MEBIBYTE, EmbeddedBroker


@dataclass(frozen=True)
class Server:
    url: str
    user: str
    password: str

    async def connect(self, **options: Any) -> Client:
        return await nats.connect(self.url, user=self.user, password=self.password, **options)


@asynccontextmanager
async def serving(folder: Path, durability: Any, max_payload: int = 8 * MEBIBYTE) -> AsyncIterator[Server]:
    """The server, as a run starts it. It keeps eight times `max_payload` for a subscriber that is behind."""
    broker = await EmbeddedBroker.start(
        folder / "broker",
        folder / "secrets",
        durability=durability,
        store_bytes=4096 * MEBIBYTE,
        max_payload=max_payload,
    )
    try:
        login = json.loads(broker.credentials.read_text())
        yield Server(broker.url, login["user"], login["password"])
    finally:
        await broker.stop()


def processes(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


def in_process(function: Any, *arguments: Any) -> Any:
    """Run a coroutine function in one of the `processes`."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return asyncio.run(function(*arguments))


def _end_with_parent() -> None:
    """Without the process that has the server there is nobody to talk to, and nobody to tell."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)

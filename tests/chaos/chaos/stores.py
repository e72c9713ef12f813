"""The quota of a run's streams, taken away and given back, through the broker's own interface."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

from chaos.runs import Login

SECONDS = 5.0
TINY = 1
"""Bytes. A stream that already holds more refuses whatever is new."""


class Quotas:
    """What the streams may hold, as it was before. Nothing raises: `False` says that it has to be tried again."""

    def __init__(self) -> None:
        self._before: dict[str, dict[str, Any]] = {}

    def take(self, login: Login) -> bool:
        """From now on the run's streams of messages are full."""
        return self._tried(self._take, login)

    def give_back(self, login: Login) -> bool:
        """They hold what they did before."""
        return self._tried(self._give_back, login)

    def _tried(self, action: Any, login: Login) -> bool:
        async def attempt() -> None:
            async with asyncio.timeout(SECONDS):
                client = await _connect(login)
                try:
                    await action(client)
                finally:
                    await client.close()

        try:
            asyncio.run(attempt())
        except (NatsError, OSError, TimeoutError, ValueError, KeyError):
            return False  # the broker is away, or about to be
        return True

    async def _take(self, client: Client) -> None:
        taken = False
        for name in (await _ask(client, "$JS.API.STREAM.NAMES", {}))["streams"]:
            config = (await _ask(client, f"$JS.API.STREAM.INFO.{name}", {}))["config"]
            if config["retention"] == "interest":  # of messages, and those to be tried again
                self._before.setdefault(name, config)
                await _ask(client, f"$JS.API.STREAM.UPDATE.{name}", {**config, "max_bytes": TINY})
                taken = True
        if not taken:
            raise KeyError("there are no streams yet")

    async def _give_back(self, client: Client) -> None:
        for name, config in list(self._before.items()):
            await _ask(client, f"$JS.API.STREAM.UPDATE.{name}", config)
            del self._before[name]


async def _connect(login: Login) -> Client:
    user = {} if login.credentials is None else json.loads(login.credentials.read_text())

    async def ignore(error: Exception) -> None:
        """What fails is told by what was asked."""

    return await nats.connect(login.url, allow_reconnect=False, connect_timeout=2, error_cb=ignore, **user)


async def _ask(client: Client, subject: str, value: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await client.request(subject, json.dumps(value).encode(), timeout=2)).data)
    if "error" in answer:
        raise ValueError(f"{subject}: {answer['error']}")
    return answer

"""Side inputs: the latest value of each is passed on to the operators that name it.

A replica may say nothing to another operator's replicas that is stored; so the supervisor does, with what the side
input has stored of its own. What it passes on is stored in its turn, for replicas that start later.
"""

from __future__ import annotations

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg

from interactem.engine.plan import Plan
from interactem.runtime.connections import Storer
from interactem.runtime.transports import Store

KIND = "value"
"""The kind of a side input's record."""
LOOK_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0)
"""How long after a value was heard of it is looked for once more."""


def relayed(plan: Plan, subject: str) -> list[str]:
    """The subjects under which a side input's record is stored for those that name it."""
    parts = subject.split(".")
    if parts[-1] != KIND or not parts[3].isdigit():
        return []
    side = int(parts[3])
    return [
        plan.names.side_input(operator.index, side)
        for operator in plan.operators
        if any(entry.operator == side for entry in operator.assignment.side_inputs)
    ]


class Relay:
    """Passes values on, for as long as the client is connected."""

    def __init__(self, plan: Plan, client: Client, storer: Storer) -> None:
        self._plan = plan
        self._client = client
        self._storer = storer
        self._turn = asyncio.Lock()
        self._passed: dict[str, bytes] = {}

    async def begin(self) -> None:
        """Pass on what is new, and what was stored while nobody did."""
        sides = [operator.index for operator in self._plan.operators if operator.assignment.is_side_input]
        for side in sides:
            await self._client.subscribe(self._plan.names.record(side, 0, KIND), cb=self._on_value)
            await self._pass_on(self._plan.names.record(side, 0, KIND))

    async def _on_value(self, message: Msg) -> None:
        """Whoever listens hears of a message before it is stored, and also of one that is refused then."""
        for seconds in LOOK_SECONDS:
            if await self._pass_on(message.subject) == message.data:
                return
            await asyncio.sleep(seconds)
        await self._pass_on(message.subject)

    async def _pass_on(self, subject: str) -> bytes | None:
        """Pass on what is stored, where that is new. Returns it; None where there is nothing yet."""
        async with self._turn:  # whoever comes second must not store what is older
            try:
                payload = await self._storer.last_one(self._plan.names.record_stream, subject)
            except KeyError:
                return None
            if payload != self._passed.get(subject):
                for target in relayed(self._plan, subject):
                    await self._storer.store(Store(target, payload))
                self._passed[subject] = payload
            return payload

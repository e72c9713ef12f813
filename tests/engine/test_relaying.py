"""Values of side inputs are passed on once they are stored, which is after they are heard of."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from interactem.engine.plan import Plan, PlannedOperator
from interactem.engine.relaying import KIND, Relay
from interactem.runtime.assignment import Assignment, SideInput

GIVER = PlannedOperator("table", "table", "/", Assignment("r", 0, "table", every=1.0))
READER = PlannedOperator(
    "lookup", "lookup", "/", Assignment("r", 1, "lookup", side_inputs=(SideInput("rows", 0, "table", 1.0),))
)
PLAN = Plan("r", "test", "process", (GIVER, READER), {})
RECORD = PLAN.names.record(0, 0, KIND)
TARGET = PLAN.names.side_input(1, 0)


class Broker:
    """Hands out, one after the other, what is stored at each look; keeps what is stored by others."""

    def __init__(self, *looks: bytes | None) -> None:
        self.looks = list(looks)
        self.stored: list[tuple[str, bytes]] = []

    async def subscribe(self, subject, cb):
        self.callback = cb

    async def last_one(self, stream, subject):
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if found is None:
            raise KeyError(subject)
        return found

    async def store(self, item):
        self.stored.append((item.subject, item.payload))

    def hear(self, *values: bytes) -> None:
        async def do() -> None:
            relay = Relay(PLAN, self, self)
            await relay.begin()
            for value in values:
                await self.callback(SimpleNamespace(subject=RECORD, data=value))

        asyncio.run(do())


def test_a_value_that_is_heard_of_before_it_is_stored_is_passed_on():
    broker = Broker(None, None, None, b"1")
    broker.hear(b"1")
    assert broker.stored == [(TARGET, b"1")]


def test_so_is_a_newer_one():
    broker = Broker(b"1", b"1", b"1", b"2")
    broker.hear(b"2")
    assert broker.stored == [(TARGET, b"1"), (TARGET, b"2")]


def test_what_was_refused_is_not_passed_on():
    broker = Broker(b"2")
    broker.hear(b"1")
    assert broker.stored == [(TARGET, b"2")]

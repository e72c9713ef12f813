"""What replicas answer to what they are told: new parameters, and triggers that are pulled."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime.connections import flush
from interactem.runtime.triggers import Poke
from interactem.spec import OperatorSpec, OperatorSpecTrigger, Problem, SpecError
from interactem.spec.wording import suggest

AGAIN_SECONDS = 0.5
"""How often a poke is sent again, until every replica has taken it."""

Replica = tuple[int, int]
"""An operator's index and a replica's."""


class Answers:
    """What was answered since `listening` began, by whom, in its order."""

    def __init__(self) -> None:
        self._heard: list[tuple[Replica, dict[str, Any]]] = []
        self._new = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def listening(cls, client: Client, plan: Plan) -> AsyncIterator[Answers]:
        answers = cls()
        subscription = await client.subscribe(plan.names.answers("*", "*"), cb=answers._on_answer)
        await flush(client)
        try:
            yield answers
        finally:
            await subscription.unsubscribe()

    async def _on_answer(self, message: Msg) -> None:
        operator, replica = map(int, message.subject.split(".")[3:5])
        try:
            value = json.loads(message.data)
        except (ValueError, RecursionError):
            return  # another operator's code has written it
        if isinstance(value, dict):
            self._heard.append(((operator, replica), value))
            self._new.set()

    def of(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[Replica, dict[str, Any]]:
        """The first answer of each replica that is `wanted`."""
        found: dict[Replica, dict[str, Any]] = {}
        for replica, value in self._heard:
            if wanted(value):
                found.setdefault(replica, value)
        return found

    async def wait(self, seconds: float) -> None:
        """Until there is a new one, or for so long."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._new.wait()
        except TimeoutError:
            return
        self._new.clear()


@dataclass(frozen=True, slots=True)
class TriggerResult:
    """What one replica did when it was poked: how often it called its kernel, and how many messages it sent.

    `error` is why it failed, or why there is no answer; empty where all is well.
    """

    replica: int
    calls: int = 0
    sent: int = 0
    error: str = ""
    traceback: str = ""


def find_trigger(plan: Plan, key: str, name: str) -> tuple[PlannedOperator, OperatorSpecTrigger]:
    """Raises `SpecError` for an operator that the run has not, and a trigger that the operator has not."""
    known = {operator.key: operator for operator in plan.operators}
    if key not in known:
        raise SpecError([Problem("", key, f"the run has no operator {key!r}", suggest(key, known, "operators"))])
    triggers = {t.name: t for t in OperatorSpec.model_validate(plan.specs[known[key].operator]).triggers}
    if name not in triggers:
        hint = suggest(name, triggers, "triggers") if triggers else "its operator.json lists none"
        raise SpecError([Problem("", f"{key}.{name}", f"there is no trigger {name!r}", hint)])
    return known[key], triggers[name]


async def pull_trigger(client: Client, plan: Plan, key: str, name: str, *, seconds: float) -> list[TriggerResult]:
    """Poke every replica of an operator, and wait up to `seconds` for what they did. Raises `SpecError`."""
    operator, trigger = find_trigger(plan, key, name)
    poke = Poke(secrets.token_hex(8), name, trigger.mode == "drain")
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    everyone = {(operator.index, replica) for replica in range(operator.replicas)}
    async with Answers.listening(client, plan) as answers:
        while True:
            done = answers.of(lambda value: value.get("id") == poke.id and "calls" in value)
            left = until - loop.time()
            if done.keys() >= everyone or left <= 0:
                break
            taken = answers.of(lambda value: value.get("id") == poke.id)
            if not taken.keys() >= everyone:
                await client.publish(plan.names.pokes(operator.index), poke.to_bytes())
            await answers.wait(min(left, AGAIN_SECONDS))
    taken = answers.of(lambda value: value.get("id") == poke.id)
    return [_result(replica, done.get(replica), replica in taken, seconds) for replica in sorted(everyone)]


def _result(replica: Replica, answer: Mapping[str, Any] | None, taken: bool, seconds: float) -> TriggerResult:
    number = replica[1]
    if answer is None:
        why = "it has begun, and has not ended" if taken else "it does not run, or its kernel is in a long call"
        return TriggerResult(number, error=f"no answer within {seconds:g} s: {why}")
    return TriggerResult(
        number,
        int(answer.get("calls", 0)),
        int(answer.get("sent", 0)),
        str(answer.get("error", "")),
        str(answer.get("traceback", "")),
    )

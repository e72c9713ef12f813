"""A run's streams and consumers in the broker: made, looked at, removed."""

from __future__ import annotations

import asyncio
from typing import Any

from interactem.engine.errors import BrokerError
from interactem.engine.plan import Consumer, Plan, consumers, stream_configs
from interactem.runtime.connections import Storer

_NOT_FOUND = frozenset({10059, 10014})
_NO_ROOM = frozenset({10023, 10028, 10047})
LEAST_BYTES = 64 * 2**20
"""A run with less room for what waits in it would wait all the time."""


class _RefusalError(BrokerError):
    def __init__(self, subject: str, error: dict[str, Any]) -> None:
        super().__init__(f"the broker refuses {subject}: {error.get('description', error)}")
        self.code = int(error.get("err_code", 0))


async def create(storer: Storer, plan: Plan, store_bytes: int) -> None:
    """Make what is missing, of `store_bytes` or what the broker has room for; what is there stays as it is.

    Raises `BrokerError`, and has made nothing then.
    """
    missing = [c for c in stream_configs(plan, 0) if not await _exists(storer, f"$JS.API.STREAM.INFO.{c['name']}")]
    names = [str(config["name"]) for config in missing]
    while True:
        try:
            for config in stream_configs(plan, store_bytes):
                if config["name"] in names:
                    await _ask(storer, f"$JS.API.STREAM.CREATE.{config['name']}", config)
            await asyncio.gather(*(_create_consumer(storer, consumer) for consumer in consumers(plan)))
            return
        except _RefusalError as error:
            await _delete(storer, names)
            store_bytes //= 2
            if error.code not in _NO_ROOM or store_bytes < LEAST_BYTES:
                raise _told(error) from None


def _told(error: _RefusalError) -> BrokerError:
    if error.code not in _NO_ROOM:
        return error
    least = f"a run needs {LEAST_BYTES // 2**20} MiB of JetStream's file storage"
    return BrokerError(f"the broker has no room for the run's streams: {least} ({error})")


async def _delete(storer: Storer, names: list[str]) -> None:
    for name in names:
        await storer.ask(f"$JS.API.STREAM.DELETE.{name}", None)


async def _create_consumer(storer: Storer, consumer: Consumer) -> None:
    if await _exists(storer, f"$JS.API.CONSUMER.INFO.{consumer.stream}.{consumer.name}"):
        return
    value = {"stream_name": consumer.stream, "config": consumer.config, "action": "create"}
    await _ask(storer, f"$JS.API.CONSUMER.CREATE.{consumer.stream}.{consumer.name}", value)


async def _exists(storer: Storer, subject: str) -> bool:
    answer = await storer.ask(subject, None)
    error = answer.get("error")
    if error is None:
        return True
    if int(error.get("err_code", 0)) in _NOT_FOUND:
        return False
    raise _RefusalError(subject, error)


async def _ask(storer: Storer, subject: str, value: dict[str, Any] | None) -> dict[str, Any]:
    answer = await storer.ask(subject, value)
    if "error" in answer:
        raise _RefusalError(subject, answer["error"])
    return answer


async def outstanding(storer: Storer, chosen: list[Consumer]) -> dict[int, int]:
    """How many batches wait or are held, by edge; those to be tried again count.

    A failing message is stored to be tried again before its batch is settled, so the batches are counted first.
    """
    found: dict[int, int] = {}
    for retry in (False, True):
        part = [c for c in chosen if c.retry is retry]
        counts = await asyncio.gather(*(_count(storer, consumer) for consumer in part))
        for consumer, count in zip(part, counts, strict=True):
            found[consumer.edge] = found.get(consumer.edge, 0) + count
    return found


async def _count(storer: Storer, consumer: Consumer) -> int:
    info = await consumer_info(storer, consumer.stream, consumer.name)
    return int(info["num_pending"]) + int(info["num_ack_pending"])


async def consumer_info(storer: Storer, stream: str, consumer: str) -> dict[str, Any]:
    return await _ask(storer, f"$JS.API.CONSUMER.INFO.{stream}.{consumer}", None)


async def last_sequence(storer: Storer, stream: str) -> int:
    """The sequence of the last message that was stored in a stream, whether it is still there or not."""
    info = await _ask(storer, f"$JS.API.STREAM.INFO.{stream}", None)
    return int(info["state"]["last_seq"])


async def dead_letters(storer: Storer, plan: Plan) -> dict[int, int]:
    """How many dead letters each operator has, by its index."""
    subject = f"$JS.API.STREAM.INFO.{plan.names.dead_stream}"
    found: dict[int, int] = {}
    for operator in plan.operators:
        for entry in operator.assignment.inputs:
            # each letter has a subject of its own
            info = await _ask(storer, subject, {"subjects_filter": plan.names.dead(entry.edge, "*")})
            found[operator.index] = found.get(operator.index, 0) + int(info.get("total", 0))
    return found


async def controls(storer: Storer, plan: Plan) -> dict[str, bytes]:
    """What the engine has told all operators, by subject."""
    names = plan.names
    indexes = [operator.index for operator in plan.operators]
    found = await asyncio.gather(*(storer.last(names.control_stream(i), [names.control(i, ">")]) for i in indexes))
    return {subject: payload for part in found for subject, payload in part.items()}


async def purge(storer: Storer, stream: str, subject: str) -> None:
    await _ask(storer, f"$JS.API.STREAM.PURGE.{stream}", {"filter": subject})


async def remove(storer: Storer, plan: Plan) -> None:
    """Remove all that the run has in the broker."""
    await _delete(storer, [str(config["name"]) for config in stream_configs(plan, 0)])

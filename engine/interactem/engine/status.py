"""What the supervisor of a run tells in the broker, for those who only look."""

from __future__ import annotations

from typing import Any

import msgpack
from nats.errors import TimeoutError as NatsTimeoutError

from interactem.engine.errors import EngineError
from interactem.engine.index import RunRecord
from interactem.engine.visiting import connected

PATIENCE_SECONDS = 10.0


async def next_snapshot(record: RunRecord) -> dict[str, Any]:
    """What it tells next, of a run that goes on.

    Raises `EngineError` where it tells nothing, and what `connected` raises.
    """
    async with connected(record) as (plan, storer):
        heard = await storer.client.subscribe(plan.names.numbers)
        try:
            message = await heard.next_msg(timeout=PATIENCE_SECONDS)
        except NatsTimeoutError:
            words = f"the supervisor of run {record.run} tells nothing: it has just ended, or is stopped"
            raise EngineError(words) from None
        told: dict[str, Any] = msgpack.unpackb(message.data)
        return told

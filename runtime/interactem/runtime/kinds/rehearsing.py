"""A source that reads, outside of a run: read to its end, as a test does."""

from __future__ import annotations

import inspect
from typing import Any

from interactem.runtime.calls import Caller
from interactem.runtime.demand import BATCH_MESSAGES
from interactem.runtime.kinds.sources import EndOfStream, pack_position, pairs
from interactem.runtime.messages import BytesMessage


def read_through(caller: Caller, parameters: dict[str, Any], limit: int | None) -> list[BytesMessage]:
    """What it gives from where `context.reading` says, up to `limit` messages, or until there is nothing now.

    The position is then behind that. After each call of `read`, `ack` is told how far it has come.
    """
    context, results = caller.context, list[BytesMessage]()
    while limit is None or len(results) < limit:
        position, _ = context.reading
        before = position
        context.reading = position, BATCH_MESSAGES if limit is None else limit - len(results)
        ended = False
        try:
            for made, position in pairs(caller.invoke(None, parameters)):
                pack_position(position)
                results += caller.checked(made)
        except EndOfStream:
            ended = True
        context.reading = position, 0
        if position != before and caller.kernel.acknowledge is not None:
            told = caller.kernel.acknowledge(context, position)
            if inspect.iscoroutine(told):
                caller._run(told)
        if ended or position == before:
            break
    return results

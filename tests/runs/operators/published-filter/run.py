import asyncio
from typing import Any

from interactem.core.logger import get_logger
from interactem.core.models.messages import BytesMessage, MessageHeader, MessageSubject
from interactem.operators.operator import async_operator

logger = get_logger(level="DEBUG")

# made in the first call, used in all later ones: a queue that a task fills between them
_queue: asyncio.Queue[int] | None = None
_task: asyncio.Task[None] | None = None


async def _count(queue: asyncio.Queue[int]) -> None:
    number = 0
    while True:
        await queue.put(number)
        number += 1


@async_operator
async def shout(inputs: BytesMessage | None, parameters: dict[str, Any], trigger: Any = None) -> BytesMessage | None:
    global _queue, _task

    if not inputs:
        return None
    if _queue is None:
        _queue = asyncio.Queue(maxsize=1)
        _task = asyncio.create_task(_count(_queue))

    text = inputs.data.decode("utf-8")
    logger.debug(f"{len(text)} characters")
    if not text.strip():
        return None
    meta = {**inputs.header.meta, "count": await _queue.get()}
    return BytesMessage(header=MessageHeader(subject=MessageSubject.BYTES, meta=meta), data=text.upper().encode())

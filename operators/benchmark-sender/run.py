"""Sends messages of a given size, number and rate."""

import time
from collections.abc import Iterator
from typing import Any

from interactem.runtime import BytesMessage, Context, MessageHeader, operator


def wait_for(index: int, rate: float, started: float) -> None:
    """Sleep until message `index` is due, where messages are due `rate` times a second from `started` on."""
    ahead = started + index / rate - time.monotonic()
    if ahead > 0:
        time.sleep(ahead)


@operator
def send(parameters: dict[str, Any], context: Context) -> Iterator[BytesMessage]:
    size, count = parameters.get("size", 100), parameters.get("count", 10_000)
    if size < 0 or count < 0:
        raise ValueError(f"size and count are not negative, not {size} and {count}")
    data = b"." * size  # bytes(size) would be one page of zeros again and again, in a cache whatever its size
    first = context.position
    rate, started, reference = 0.0, 0.0, first
    for index in range(first, count):
        wanted = parameters.get("rate", 0.0)
        if wanted != rate:  # it may change while this runs: the schedule starts anew
            rate, started, reference = wanted, time.monotonic(), index
        if rate > 0:
            wait_for(index - reference, rate, started)
        yield BytesMessage(MessageHeader(meta={"index": index}), data)

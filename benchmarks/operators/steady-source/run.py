"""Sends the numbers from 0 on at a steady rate; some of the messages are large."""

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from interactem.runtime import BytesMessage, Context, MessageHeader, operator

TICK = 0.01


@operator
def send(parameters: dict[str, Any], context: Context) -> Iterator[BytesMessage]:
    rate, first = parameters["rate"], context.position
    small, large = bytes(parameters["size"]), bytes(parameters["large"])
    every, seconds = parameters["large_every"], parameters["seconds"]
    begun = time.monotonic()
    for number in count(first):
        if number >= rate * seconds if rate else time.monotonic() - begun > seconds:
            return
        while rate and (early := (number - first) / rate - (time.monotonic() - begun)) > 0:
            time.sleep(max(early, TICK))  # several are due after each pause
        is_large = every > 0 and number % every == every - 1
        yield BytesMessage(MessageHeader(meta={"number": number}), large if is_large else small)

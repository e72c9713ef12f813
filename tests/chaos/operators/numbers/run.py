"""Sends numbers, at a pace until it is told to hurry; holds some back until then."""

import itertools
import sys
import time

import numpy as np

from interactem.runtime import BytesMessage, MessageHeader, operator

LOOK_SECONDS = 0.02
PATIENCE = 600.0
"""Seconds after which it hurries by itself: whoever was to tell it is gone."""
LARGE = (70_000, 300_000, 1_000_000, 9_000_000)


def content(number, large):
    if not large:
        return number.to_bytes(8, "little") + bytes(24)
    return np.full(LARGE[number % len(LARGE)] // 8, number, "<u8").tobytes()


def sift(message):
    return message if "number" in message.meta else None


@operator.source(transform=sift)
def numbers(parameters, context):
    hurry = context.outputs / ".hurry"
    begun, look_at, hurried = time.monotonic(), 0.0, False
    count, rate, held = parameters["count"], parameters["rate"], parameters["held"]
    one_of = parameters["left_out"] or sys.maxsize
    first = context.position - context.position // one_of
    for position in itertools.count(context.position):
        number = position - position // one_of
        if number >= count:
            return
        if position % one_of == one_of - 1:
            yield BytesMessage()
            continue
        while not hurried:
            now = time.monotonic()
            if now >= look_at:
                look_at = now + LOOK_SECONDS
                hurried = hurry.exists() or now - begun > PATIENCE
            if number < count - held and begun + (number - first) / rate <= now:
                break
            time.sleep(0.002)
        meta = {"lane": context.operator, "number": number}
        yield BytesMessage(MessageHeader(meta=meta), content(number, parameters["large"]))

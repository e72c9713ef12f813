"""Passes messages on and tells what it does. It may wait at one of them until a test has looked."""

import time

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
def observed(inputs, parameters, context):
    number = inputs.meta["number"]
    context.counter("seen")
    context.gauge("number", number)
    context.progress(number)
    context.status(f"at {number}")
    if number == parameters["fail_at"]:
        raise ValueError(f"no {number}")
    while number == parameters["wait_at"] and not (context.outputs / ".go").exists():
        time.sleep(0.01)
    time.sleep(parameters["seconds"])
    return BytesMessage(MessageHeader(meta=inputs.meta), inputs.data)

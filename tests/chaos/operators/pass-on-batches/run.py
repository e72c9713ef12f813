"""Passes messages on in batches; fails on some numbers always, and on others at their first attempt."""

import os

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator.batch(max_size=50, max_wait=0.05)
def pass_on(inputs, parameters, context):
    for message in inputs:
        number = message.meta["number"]
        always, once = parameters["always"], parameters["once"]
        if (always and number % always == 0) or (once and number % once == 1 and context.attempt == 1):
            if parameters["mode"] == "exit":
                os._exit(7)
            yield message, ValueError(f"not {number}")
            continue
        yield message, BytesMessage(MessageHeader(meta=message.meta), message.data)

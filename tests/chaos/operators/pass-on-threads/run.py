"""Passes messages on from several threads; fails on some numbers always, and on others at their first attempt."""

import os
import time

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator(threads=8)
def pass_on(inputs, parameters, context):
    number = inputs.meta["number"]
    time.sleep(0.001)
    always, once = parameters["always"], parameters["once"]
    if (always and number % always == 0) or (once and number % once == 1 and context.attempt == 1):
        if parameters["mode"] == "exit":
            os._exit(7)
        raise ValueError(f"not {number}")
    return BytesMessage(MessageHeader(meta=inputs.meta), inputs.data)

"""Passes messages on from two worker processes; fails on some numbers always, and on others at their first attempt."""

import os

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator(processes=2)
def pass_on(inputs, parameters, context):
    number = inputs.meta["number"]
    always, once = parameters["always"], parameters["once"]
    if (always and number % always == 0) or (once and number % once == 1 and context.attempt == 1):
        if parameters["mode"] == "exit":
            os._exit(7)
        raise ValueError(f"not {number}")
    return BytesMessage(MessageHeader(meta=inputs.meta), inputs.data)

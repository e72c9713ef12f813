"""Passes messages on; fails on some numbers always, and on others at their first attempt."""

import ctypes
import os
import time

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
def pass_on(inputs, parameters, context):
    number = inputs.meta["number"]
    if parameters["seconds"]:
        time.sleep(parameters["seconds"])
    always, once = parameters["always"], parameters["once"]
    if (always and number % always == 0) or (once and number % once == 1 and context.attempt == 1):
        trouble(parameters["mode"], number)
    return BytesMessage(MessageHeader(meta=inputs.meta), inputs.data)


def trouble(mode, number):
    if mode == "raise":
        raise ValueError(f"not {number}")
    if mode == "exit":
        os._exit(7)
    if mode == "segfault":
        ctypes.string_at(0)

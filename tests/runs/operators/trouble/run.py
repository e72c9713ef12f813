"""Squares of numbers, and all that can go wrong in a kernel."""

import ctypes
import os
import signal
import time

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
def trouble(inputs, parameters, context):
    number = inputs.meta["number"]
    time.sleep(parameters["seconds"])
    every, attempts = parameters["every"], parameters["attempts"]
    if every and number % every == 0 and (attempts == 0 or context.attempt <= attempts):
        made = make(parameters["mode"], number)
        if made is not None:
            return made
    meta = {"number": number, "square": number**2 + parameters["offset"]}
    return BytesMessage(MessageHeader(meta=meta), inputs.data)


def make(mode, number):
    match mode:
        case "raise":
            raise ValueError(f"{number} is not to my taste")
        case "hang":
            time.sleep(1000)
        case "hold":  # hangs, and keeps the interpreter to itself
            ctypes.PyDLL(None).sleep(1000)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(7)
        case "quit":
            raise SystemExit(0)
        case "asked":
            os.kill(os.getpid(), signal.SIGTERM)
        case "memory":
            return bytearray(1 << 60)
        case "wrong":
            return number
    return None

"""Squares numbers in threads; number 5 ends the process, whatever the others are at."""

import os
import time

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator(threads=4)
def square(inputs, parameters, context):
    number = inputs.meta["number"]
    if number == 5:
        time.sleep(0.01)
        os._exit(7)
    time.sleep(0.02)
    return BytesMessage(MessageHeader(meta={"number": number, "square": number**2}), inputs.data)

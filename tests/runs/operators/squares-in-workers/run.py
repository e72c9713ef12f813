"""Squares numbers in worker processes, each of which notes that it is there."""

import os
import time
from pathlib import Path

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator(processes=2)
def square(inputs, parameters, context):
    Path(context.outputs, f".worker-{os.getpid()}").touch()
    number = inputs.meta["number"]
    time.sleep(0.02)
    return BytesMessage(MessageHeader(meta={"number": number, "square": number**2}), inputs.data)

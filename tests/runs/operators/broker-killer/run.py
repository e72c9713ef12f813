"""Kills the broker with some messages, when their outputs are stored and they themselves are not acknowledged."""

import os
import signal
import time
from pathlib import Path

from interactem.runtime import BytesMessage, MessageHeader, operator

LARGE = 300_000
"""More than a batch: what a generator has yielded so far is stored then, while it still runs."""


@operator
def square(inputs, parameters, context):
    number = inputs.meta["number"]
    for part in range(2):
        meta = {"number": 2 * number + part, "square": number**2}
        yield BytesMessage(MessageHeader(meta=meta), bytes(LARGE))
    if number % parameters["every"] == 0 and not (killed := context.outputs / f".killed-{number}").exists():
        killed.touch()
        time.sleep(0.3)  # the outputs are on their way; whether they arrive first, differs, and must not matter
        for ports in Path(context.outputs.parent, "broker").glob("nats-server_*.ports"):
            os.kill(int(ports.stem.partition("_")[2]), signal.SIGKILL)

"""Passes messages on. Two things may happen on the way: it takes long, or the broker is killed.

It is killed when a message has been passed on for certain, since a witness behind this operator has seen it, and is
not acknowledged for certain, since this kernel has not returned. Every other time this process goes with it, so that
the message comes again.
"""

import hashlib
import os
import signal
import time
from pathlib import Path

from interactem.runtime import BytesMessage, MessageHeader, operator

PATIENCE = 60.0


def kill_the_broker(run):
    for ports in (run / "broker").glob("nats-server_*.ports"):
        pid = int(ports.stem.partition("_")[2])
        if b"nats-server" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


@operator
def passage(inputs, parameters, context):
    if not (context.outputs / ".hurry").exists():
        time.sleep(parameters["seconds"])
    yield BytesMessage(MessageHeader(meta=inputs.meta), inputs.data)
    done = len(list(context.outputs.glob(".killed-*")))
    name = hashlib.blake2b(inputs.data, digest_size=8).hexdigest()
    if done >= parameters["kills"] or (context.outputs / f".killed-{name}").exists():
        return
    until = time.monotonic() + PATIENCE
    while not (context.outputs / f".seen-{name}").exists():
        if time.monotonic() > until:
            raise TimeoutError("no witness has seen the message")
        time.sleep(0.01)
    (context.outputs / f".killed-{name}").touch()
    kill_the_broker(context.outputs.parent)
    if done % 2:
        os.kill(os.getpid(), signal.SIGKILL)

"""Writes how long each message took to its kernel."""

import json
import struct
import time

from interactem.runtime import BytesMessage, Context, operator

TIME = struct.Struct("<d")
taken: list[float] = []


def finish(context: Context) -> None:
    context.outputs.mkdir(parents=True, exist_ok=True)
    (context.outputs / "seconds.json").write_text(json.dumps(taken) + "\n", encoding="utf-8")


@operator(finish=finish)
def receive(inputs: BytesMessage) -> None:
    taken.append(time.monotonic() - TIME.unpack_from(inputs.data)[0])

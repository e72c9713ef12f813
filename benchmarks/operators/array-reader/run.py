"""Reads every byte of what it gets and writes how fast it came. An array that is not of one value is an error."""

import json
import time

import numpy as np

from interactem.runtime import BytesMessage, Context, operator

arrived: list[float] = []


def finish(context: Context) -> None:
    seconds = arrived[-1] - arrived[0] if arrived else 0.0
    context.outputs.mkdir(parents=True, exist_ok=True)
    (context.outputs / "read.json").write_text(
        json.dumps({"messages": len(arrived), "seconds": seconds}) + "\n", encoding="utf-8"
    )


@operator(finish=finish)
def read(inputs: BytesMessage) -> None:
    words = inputs.array.view(np.uint64)
    total, expected = int(np.bitwise_xor.reduce(words)), 0 if words.size % 2 == 0 else int(words[0])
    if total != expected or words[0] != words[-1]:
        raise ValueError("the array was not what its maker made")
    arrived.append(time.monotonic())

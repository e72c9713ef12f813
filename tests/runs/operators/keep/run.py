"""Writes what came, and how often: [number, square, size, times], sorted."""

import json
import os
import time

from interactem.runtime import operator


def finish(parameters, context):
    file = context.outputs / parameters["file"]
    kept = sorted([*json.loads(key), times] for key, times in context.state.items())
    temporary = file.with_name(f".{file.name}")
    temporary.write_text(json.dumps(kept))
    os.replace(temporary, file)


def note(outputs, number):
    """For tests that wait until something has come: the highest number that this process saw."""
    for old in outputs.glob(f".came-{os.getpid()}.*"):
        if number > int(old.suffix[1:]):
            old.rename(old.with_suffix(f".{number}"))
        return
    outputs.joinpath(f".came-{os.getpid()}.{number}").touch()


@operator(finish=finish)
def keep(inputs, parameters, context):
    note(context.outputs, inputs.meta["number"])
    time.sleep(parameters["seconds"])
    what = inputs.array.tolist() if inputs.meta["number"] < 0 else inputs.meta.get("square")
    key = json.dumps([inputs.meta["number"], what, len(inputs.data)])
    context.state[key] = context.state.get(key, 0) + 1

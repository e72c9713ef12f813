"""Counts how often each message came, by lane and number, and whether it was whole; writes the counts at the end."""

import os
import time

import numpy as np

from interactem.runtime import operator


def finish(parameters, context):
    place = context.outputs / f"{context.operator}.{context.replica}.npz"
    temporary = place.with_name(f".{place.name}")
    state = context.state
    with temporary.open("wb") as file:
        np.savez(file, **{lane.replace("/", "|"): counts for lane, counts in state.get("counts", {}).items()})
    os.replace(temporary, place)
    (context.outputs / f"{place.name}.wrong").write_text(repr(state.get("wrong", [])))


def is_whole(number, data):
    if len(data) == 32:
        return int.from_bytes(data[:8], "little") == number
    return bool((np.frombuffer(data, "<u8") == number).all())


def is_next(state, number, meta):
    """Whether nothing of its group was overtaken, here or where it was given its turn."""
    latest = state.setdefault("latest", {})
    before, latest[meta["group"]] = latest.get(meta["group"], -1), number
    return meta["serial"] == number > before


def count(state, lane, number, length, times=1):
    counts = state.setdefault("counts", {})
    if lane not in counts:
        counts[lane] = np.zeros(length, np.uint8)
    counts[lane][number] += times


@operator(finish=finish)
def record(inputs, parameters, context):
    if parameters["seconds"]:
        time.sleep(parameters["seconds"])
    meta, state, length = inputs.meta, context.state, parameters["count"]
    number = meta.get("number")
    if number is None:  # the counts of others
        count(state, meta["lane"], slice(None), length, inputs.array)
        return None
    if not is_whole(number, inputs.data) or (parameters["in_order"] and not is_next(state, number, meta)):
        state.setdefault("wrong", []).append([meta["lane"], number])
        return None
    if parameters["rest"] and number % parameters["rest"] == 0:
        return inputs.to("rest")
    count(state, meta["lane"], number, length)
    if "serial" in meta:
        count(state, "serial", meta["serial"], length)
    once = parameters["once"]
    if once and number % once == 1 and context.attempt == 1:
        raise ValueError(f"not yet {number}")
    return None

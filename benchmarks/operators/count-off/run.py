"""Counts and sums up what comes: right only if each message has come once. A total that comes is written as it is."""

import json
import os
import time
from typing import Any

from interactem.runtime import BytesMessage, Context, operator


def write(parameters: dict[str, Any], context: Context) -> None:
    file = context.outputs / parameters["file"]
    temporary = file.with_name(f".{file.name}")
    temporary.write_text(json.dumps(dict(context.state)))
    os.replace(temporary, file)


@operator(finish=write)
def count(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> None:
    state = context.state
    time.sleep(parameters["pause"])
    if "count" in inputs.meta:
        state.update(inputs.meta)
        return
    state["count"] = state.get("count", 0) + 1
    state["sum"] = state.get("sum", 0) + inputs.meta["number"]
    state["bytes"] = state.get("bytes", 0) + len(inputs.data)

"""Counts messages and bytes, and writes what it counted at the end."""

import json
import os
import time
from pathlib import Path
from typing import Any

from interactem.runtime import BytesMessage, Context, operator

LOG_EVERY = 5.0
"""Seconds between two lines in the log."""


def counted(state: dict[str, Any]) -> dict[str, float]:
    """What the state says about the messages so far; rates are over the time from the first message to the last."""
    messages, size = state.get("messages", 0), state.get("bytes", 0)
    seconds = state.get("last", 0.0) - state.get("first", 0.0)
    return {
        "messages": messages,
        "bytes": size,
        "seconds": seconds,
        "messages_per_second": messages / seconds if seconds > 0 else 0.0,
        "bytes_per_second": size / seconds if seconds > 0 else 0.0,
    }


def finish(parameters: dict[str, Any], context: Context) -> None:
    name = parameters.get("file", "benchmark.json")
    if Path(name).name != name or not name:
        raise ValueError(f"file is a plain file name such as benchmark.json, not {name!r}")
    result = counted(context.state)
    context.logger.info("%d messages, %.0f/s", result["messages"], result["messages_per_second"])
    context.outputs.mkdir(parents=True, exist_ok=True)
    temporary = context.outputs / f".{name}.partial"
    temporary.write_text(json.dumps(result) + "\n", encoding="utf-8")
    os.replace(temporary, context.outputs / name)


@operator(finish=finish)
def receive(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> None:
    kernel_time = parameters.get("kernel_time", 0.0)
    if kernel_time > 0:
        time.sleep(kernel_time)
    now = time.time()
    state = context.state
    if not state:
        state.update(messages=0, bytes=0, first=now, logged=now)
    state["messages"] += 1
    state["bytes"] += memoryview(inputs.data).nbytes
    state["last"] = now
    if now - state["logged"] >= LOG_EVERY:
        state["logged"] = now
        context.logger.info("%d messages so far, %.0f/s", state["messages"], counted(state)["messages_per_second"])

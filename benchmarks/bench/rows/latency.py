"""How long one message takes to the next kernel while there is no queue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench.measurements import Measurement, Reference, Row
from bench.workspace import Workspace

SIZE = 1_000
RATE = 200.0
"""Messages a second: each has long arrived when the next one is sent."""
DURABILITY = "process"
LEAD = 50
"""The first messages find a reader that has just started."""
LIMIT = 120.0


def pipeline(count: int) -> dict[str, Any]:
    return {
        "name": "latency",
        "durability": DURABILITY,
        "operators": {
            "sender": {"operator": "timed-sender", "parameters": {"size": SIZE, "count": count, "rate": RATE}},
            "receiver": {"operator": "timed-receiver"},
        },
        "edges": [{"from": "sender.out", "to": "receiver.in"}],
    }


def measurement(count: int, seconds: Sequence[float], cpu_seconds: float) -> Measurement:
    """From the time that each message took, in their order. Raises `ValueError` where messages are missing."""
    if len(seconds) != count:
        raise ValueError(f"{len(seconds)} messages arrived of {count}")
    found = sorted(seconds[LEAD:])
    p50, p99 = (found[int(len(found) * share)] * 1e3 for share in (0.5, 0.99))
    return Measurement(p50, cpu_seconds, {"p50": p50, "p99": p99, "longest": found[-1] * 1e3})


def count_in(workspace: Workspace) -> int:
    return LEAD + workspace.size(1_000, 50)


def ours(workspace: Workspace) -> Measurement:
    count = count_in(workspace)
    run = workspace.run_pipeline(pipeline(count), limit=LIMIT)
    return measurement(count, json.loads(run.outputs["seconds.json"]), run.finished.cpu_seconds)


def reference(workspace: Workspace) -> Measurement:
    count = count_in(workspace)
    arguments = ("--count", str(count), "--size", str(SIZE), "--rate", str(RATE), "--durability", DURABILITY)
    told, finished = workspace.run_reference("nats_latency.py", *arguments, limit=LIMIT)
    return measurement(count, told["seconds"], finished.cpu_seconds)


_ABOUT = "publish and pull with nats-py, the reader waiting, at the same rate, on the same server and settings"
LATENCY = Row(
    name="latency",
    unit="ms",
    about=f"{SIZE} B, one hop, one at a time, from the kernel that makes it to the one that gets it ({DURABILITY})",
    ours=ours,
    references=(
        Reference(_ABOUT, reference, 1 / 1.3, name="p50", detail="p50"),
        Reference(_ABOUT, reference, 1 / 1.5, name="p99", detail="p99"),
    ),
    less=True,
)

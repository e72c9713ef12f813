"""From the start of the command to the first message that the last of three operators is given."""

from __future__ import annotations

import json

from bench.measurements import Measurement, Reference, Row
from bench.workspace import Workspace

LIMIT = 120.0
SECONDS = 2.0

PIPELINE = {
    "name": "start",
    "operators": {
        "sender": {"operator": "benchmark-sender", "parameters": {"count": 1}},
        "middle": {"operator": "pass-through"},
        "receiver": {"operator": "first-arrival"},
    },
    "edges": [{"from": "sender.out", "to": "middle.in"}, {"from": "middle.out", "to": "receiver.in"}],
}


def measurement(seconds: float, cpu_seconds: float) -> Measurement:
    return Measurement(1 / seconds, cpu_seconds, {"seconds": seconds, "CPU seconds of the whole run": cpu_seconds})


def ours(workspace: Workspace) -> Measurement:
    run = workspace.run_pipeline(PIPELINE, limit=LIMIT)
    arrived = json.loads(run.outputs["first-arrival.json"])["monotonic"]
    return measurement(arrived - run.finished.started, run.finished.cpu_seconds)


def reference(workspace: Workspace) -> Measurement:
    told, finished = workspace.run_reference("nats_start.py", limit=LIMIT)
    return measurement(told["monotonic"] - finished.started, finished.cpu_seconds)


START = Row(
    name="start",
    unit="1/s",
    about="from `interactem pipeline run` to the first message at the last of three operators, environments warm",
    ours=ours,
    references=(
        Reference(
            "one bare Python process that starts the server, makes a stream, passes a message", reference, 1 / 1.5
        ),
    ),
    ours_at_least=1 / SECONDS,
)

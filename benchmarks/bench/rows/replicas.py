"""How much faster two replicas are than one, where the kernel is all that counts."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from bench.measurements import Measurement, Reference, Row
from bench.rows.lines import LIMIT, rate, seconds_of
from bench.workspace import Workspace

MILLISECONDS = 5.0
EACH = 500


def pipeline(count: int, replicas: int) -> dict[str, Any]:
    return {
        "name": "replicas",
        "operators": {
            "sender": {"operator": "benchmark-sender", "parameters": {"count": count}},
            "worker": {"operator": "worker", "replicas": replicas, "parameters": {"milliseconds": MILLISECONDS}},
            "receiver": {"operator": "benchmark-receiver"},
        },
        "edges": [{"from": "sender.out", "to": "worker.in"}, {"from": "worker.out", "to": "receiver.in"}],
    }


def work(replicas: int, workspace: Workspace) -> Measurement:
    count = replicas * workspace.size(EACH, 10)
    run = workspace.run_pipeline(pipeline(count, replicas), limit=LIMIT)
    seconds = seconds_of(count, json.loads(run.outputs["benchmark.json"]))
    return Measurement(rate(count, seconds), run.finished.cpu_seconds)


REPLICAS = Row(
    name="replicas",
    unit="messages/s",
    about=f"a kernel of {MILLISECONDS:g} ms CPU for each message, in two replicas",
    ours=partial(work, 2),
    references=(Reference("the same in one", partial(work, 1), 1.8),),
)

"""Whether memory stays as it is while a million messages pass, at the pace of a slow receiver."""

from __future__ import annotations

import json

from bench.measurements import Measurement, Row
from bench.processes import Growth, Sampler, resident
from bench.workspace import Workspace

SIZE = 4_000
"""Bytes of a message: so many that the streams fill up, and the sender has to wait for most of the run."""
LIMIT = 900.0
MOST_GROWTH = 1.2


def ours(workspace: Workspace) -> Measurement:
    count = workspace.size(1_000_000, 2_000)
    sampler = Sampler(resident, 0.05 if workspace.short else 0.25)
    run = workspace.run_pipeline(pipeline(count), limit=LIMIT, watch=sampler.watch)
    told = json.loads(run.outputs["benchmark.json"])
    if told["messages"] != count:
        raise ValueError(f"{told['messages']} messages arrived of {count}")
    details = {"messages/s": told["messages_per_second"]} | growth_details(sampler.growths())
    return Measurement(1 / worst(sampler.growths()), run.finished.cpu_seconds, details)


def pipeline(count: int) -> dict[str, object]:
    return {
        "name": "memory",
        "operators": {
            "sender": {"operator": "benchmark-sender", "parameters": {"size": SIZE, "count": count}},
            "middle": {"operator": "pass-through"},
            "receiver": {"operator": "benchmark-receiver", "parameters": {"kernel_time": 0.00005}},
        },
        "edges": [{"from": "sender.out", "to": "middle.in"}, {"from": "middle.out", "to": "receiver.in"}],
    }


def worst(growths: dict[str, Growth]) -> float:
    """The greatest growth of a replica: names with a dot are replicas'. Raises `ValueError` where there is none."""
    factors = [growth.factor for name, growth in growths.items() if "." in name]
    if not factors:
        raise ValueError("no replica was seen often enough: that takes /proc, which Linux has, and a longer run")
    return max(factors)


def growth_details(growths: dict[str, Growth]) -> dict[str, float]:
    details: dict[str, float] = {}
    for name, growth in growths.items():
        details[f"{name} MB"] = growth.last / 1e6
        details[f"{name} growth"] = growth.factor
    return details


MEMORY = Row(
    name="memory",
    unit="first/last quarter",
    about=f"resident memory of the replica that grows most, in a run of a million messages of {SIZE:,} B",
    ours=ours,
    ours_at_least=1 / MOST_GROWTH,
    once=True,
)

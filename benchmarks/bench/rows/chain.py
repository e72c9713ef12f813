"""Small messages through three operators, stored and acknowledged at every hop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from bench.measurements import Measurement, Row
from bench.processes import Sampler, cpu_seconds
from bench.workspace import Workspace

SIZE = 100
LIMIT = 300.0
AT_LEAST = 25.0
OURS_AT_LEAST = 100_000.0

COUNT = 1_000_000
REFERENCE_COUNT = {"power": 20_000, "process": 60_000}
"""Message by message it takes longer: enough for about ten seconds with power, five without."""


def pipeline(count: int, durability: str) -> dict[str, Any]:
    return {
        "name": "chain",
        "durability": durability,
        "operators": {
            "sender": {"operator": "benchmark-sender", "parameters": {"size": SIZE, "count": count}},
            "middle": {"operator": "pass-through"},
            "receiver": {"operator": "benchmark-receiver"},
        },
        "edges": [{"from": "sender.out", "to": "middle.in"}, {"from": "middle.out", "to": "receiver.in"}],
    }


def measurement(
    count: int, told: Mapping[str, Any], cpu_seconds: float, processes: Mapping[str, float] = MappingProxyType({})
) -> Measurement:
    """From what a receiver tells, and the CPU time of all and of each of the processes.

    Raises `ValueError` where messages are missing: that is no measurement.
    """
    if told["messages"] != count:
        raise ValueError(f"{told['messages']} messages arrived of {count}")
    details = {"CPU seconds per million messages": cpu_seconds / count * 1e6}
    details |= {f"of that {name}": seconds / count * 1e6 for name, seconds in processes.items()}
    return Measurement(told["messages_per_second"], cpu_seconds, details)


def ours(workspace: Workspace, durability: str) -> Measurement:
    count = workspace.size(COUNT, 2_000)
    sampler = Sampler(cpu_seconds, 0.2)
    run = workspace.run_pipeline(pipeline(count, durability), limit=LIMIT, watch=sampler.watch)
    return measurement(count, json.loads(run.outputs["benchmark.json"]), run.finished.cpu_seconds, sampler.last())


def reference(workspace: Workspace, durability: str) -> Measurement:
    count = workspace.size(REFERENCE_COUNT[durability], 500)
    arguments = ("--count", str(count), "--size", str(SIZE), "--durability", durability)
    told, finished = workspace.run_reference("nats_chain.py", *arguments, limit=LIMIT)
    return measurement(count, told, finished.cpu_seconds)


def _row(name: str, durability: str, about: str, at_least: float | None = None) -> Row:
    return Row(
        name=name,
        unit="messages/s",
        about=f"{SIZE} B, sender to pass-through to receiver, {about}",
        ours=partial(ours, durability=durability),
        reference=partial(reference, durability=durability),
        reference_about="the same chain with nats-py, message by message, on the same server and settings",
        at_least=at_least,
        ours_at_least=OURS_AT_LEAST,
    )


CHAIN = _row("chain", "power", "synced to disk before each acknowledgement", AT_LEAST)
CHAIN_PROCESS = _row("chain-process", "process", "stored before each acknowledgement (durability: process)")

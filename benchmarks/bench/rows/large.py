"""Large messages on one host: through shared memory, and through the broker."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from bench.measurements import Measurement, Reference, Row
from bench.rows.lines import LIMIT, Line, gigabytes_per_second, rate, seconds_of
from bench.workspace import Workspace

LARGE_SIZE, HUGE_SIZE, IN_PLACE_SIZE = 1_000_000, 64 * 2**20, 16 * 2**20
READERS = 4

SINGLE = Line("large", count=5_000, short=40, size=LARGE_SIZE)


def beside(workspace: Workspace, program: str, count: int, size: int, *, elsewhere: bool = True) -> Measurement:
    """GB/s of a reference. One that loses messages is measured by those that arrived, and tells their share."""
    arguments = ("--count", str(count), "--size", str(size))
    told, finished = workspace.run_reference(program, *arguments, limit=LIMIT, elsewhere=elsewhere)
    arrived = int(told["messages"])
    details = {"share that arrived": arrived / count} if "sent" in told else {}
    return Measurement(rate(arrived, told["seconds"]) * size / 1e9, finished.cpu_seconds, details)


def dora(workspace: Workspace) -> Measurement:
    return beside(workspace, "dora_pass.py", workspace.size(3_000, 40), LARGE_SIZE)


def zmq_path(workspace: Workspace) -> Measurement:
    return beside(workspace, "zmq_path.py", workspace.size(1_500, 40), LARGE_SIZE)


def zmq_bare(workspace: Workspace) -> Measurement:
    return beside(workspace, "zmq_bare.py", workspace.size(5_000, 40), LARGE_SIZE)


def nats_core(workspace: Workspace) -> Measurement:
    return beside(workspace, "nats_core.py", workspace.size(2_000, 40), LARGE_SIZE, elsewhere=False)


def copying(workspace: Workspace) -> Measurement:
    count, size = workspace.size(64, 4), HUGE_SIZE
    told, finished = workspace.run_reference(
        "shared_copy.py", "--count", str(count), "--size", str(size), limit=LIMIT, elsewhere=False
    )
    return Measurement(count / told["seconds"] * size / 1e9, finished.cpu_seconds)


def in_place(workspace: Workspace) -> Measurement:
    count = workspace.size(300, 4)
    run = workspace.run_pipeline(in_place_pipeline(count), limit=LIMIT)
    seconds = seconds_of(count, json.loads(run.outputs["read.json"]))
    return Measurement(rate(count, seconds) * IN_PLACE_SIZE / 1e9, run.finished.cpu_seconds)


def in_place_pipeline(count: int) -> dict[str, Any]:
    return {
        "name": "in-place",
        "durability": SINGLE.durability,
        "operators": {
            "maker": {"operator": "array-maker", "parameters": {"size": IN_PLACE_SIZE, "count": count}},
            "reader": {"operator": "array-reader"},
        },
        "edges": [{"from": "maker.out", "to": "reader.in"}],
    }


def fan_out(workspace: Workspace) -> Measurement:
    """What all receivers together are given."""
    count = workspace.size(SINGLE.count, SINGLE.short)
    run = workspace.run_pipeline(fan_out_pipeline(count), limit=LIMIT)
    seconds = [seconds_of(count, json.loads(run.outputs[f"receiver-{n}.json"])) for n in range(READERS)]
    return Measurement(READERS * rate(count, max(seconds)) * LARGE_SIZE / 1e9, run.finished.cpu_seconds)


def fan_out_pipeline(count: int) -> dict[str, Any]:
    names = [f"receiver-{number}" for number in range(READERS)]
    receivers = {name: {"operator": "benchmark-receiver", "parameters": {"file": f"{name}.json"}} for name in names}
    sender = {"operator": "benchmark-sender", "parameters": {"size": LARGE_SIZE, "count": count}}
    return {
        "name": "fan-out",
        "durability": SINGLE.durability,
        "operators": {"sender": sender, **receivers},
        "edges": [{"from": "sender.out", "to": f"{name}.in"} for name in names],
    }


single = partial(gigabytes_per_second, SINGLE)
huge = partial(gigabytes_per_second, Line("huge", count=64, short=4, size=HUGE_SIZE))

LARGE = Row(
    name="large",
    unit="GB/s",
    about="1 MB, sender to receiver, through shared memory",
    ours=single,
    references=(
        Reference("dora's shared memory, which may lose some", dora, 1.0, name="vs dora"),
        Reference("interactEM's path over pyzmq, rebuilt", zmq_path, 4.0, name="vs zmq_path"),
        Reference("pyzmq push and pull without copies, over loopback", zmq_bare, 0.8, name="vs pyzmq"),
    ),
)
HUGE = Row(
    name="huge",
    unit="GB/s",
    about="64 MiB, sender to receiver, through shared memory",
    ours=huge,
    references=(Reference("a copy into shared memory from a source larger than the cache", copying, 0.8),),
)
IN_PLACE = Row(
    name="in-place",
    unit="GB/s",
    about="16 MiB, made by the kernel in the arena, every byte read by the next",
    ours=in_place,
    references=(Reference("the huge row", huge, 1.3),),
)
REMOTE = Row(
    name="remote",
    unit="GB/s",
    about="1 MB, sender to receiver, through the broker (--no-shm)",
    ours=partial(gigabytes_per_second, Line("remote", 1_500, 40, LARGE_SIZE, options=("--no-shm",))),
    references=(Reference("nats-py's core publish and subscribe, which guarantees nothing", nats_core, 0.5),),
)
FAN_OUT = Row(
    name="fan-out",
    unit="GB/s",
    about=f"1 MB, sender to {READERS} receivers, through shared memory: what all of them get",
    ours=fan_out,
    references=(Reference("a single receiver", single, 3.0),),
)

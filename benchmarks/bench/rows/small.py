"""Small messages over one hop: beside those who guarantee less, and beside themselves when they are synced to disk."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bench.measurements import Measurement, Reference, Row
from bench.rows.lines import LIMIT, Line, messages_per_second, rate, seconds_of
from bench.workspace import Workspace

SIZE = 100
LINE = Line("small", count=1_000_000, short=2_000, size=SIZE)


def core(workspace: Workspace) -> Measurement:
    return _reference(workspace, "nats_core.py", workspace.size(500_000, 2_000))


def numaflow(workspace: Workspace) -> Measurement:
    return _reference(workspace, "numaflow_map.py", workspace.size(20_000, 500), elsewhere=True)


def _reference(workspace: Workspace, program: str, count: int, *, elsewhere: bool = False) -> Measurement:
    arguments = ("--count", str(count), "--size", str(SIZE))
    told, finished = workspace.run_reference(program, *arguments, limit=LIMIT, elsewhere=elsewhere)
    return Measurement(rate(count, seconds_of(count, told)), finished.cpu_seconds)


process = partial(messages_per_second, LINE)
SMALL = Row(
    name="small",
    unit="messages/s",
    about=f"{SIZE} B, sender to receiver, stored and acknowledged (durability: process)",
    ours=process,
    references=(
        Reference("nats-py's core publish and subscribe, which guarantees nothing", core, 1.0, name="vs nats-py core"),
        Reference("pynumaflow's asynchronous map, its core's side not counted", numaflow, 40.0, name="vs pynumaflow"),
    ),
)
DURABLE = Row(
    name="durable",
    unit="messages/s",
    about="the small row, synced to disk before every acknowledgement (durability: power, the default)",
    ours=partial(messages_per_second, replace(LINE, name="durable", durability="power")),
    references=(Reference("the small row", process, 0.6),),
)

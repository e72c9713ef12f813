"""Small messages through several operators: what a hop costs, and how that compares with message by message."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bench.measurements import Measurement, Reference, Row
from bench.rows.lines import LIMIT, Line, costs, messages_per_second, rate, seconds_of
from bench.workspace import Workspace

SIZE = 100
COUNT = 600_000
PASSES = 3


def hops_per_cpu_second(line: Line, workspace: Workspace) -> Measurement:
    """Messages times hops per CPU second of all processes, the broker's and the supervisor's included."""
    count, _, run, processes = line.run(workspace)
    cpu_seconds = run.finished.cpu_seconds
    hops = line.passes + 1
    return Measurement(count * hops / cpu_seconds, cpu_seconds, costs(count * hops, cpu_seconds, processes))


def message_by_message(workspace: Workspace) -> Measurement:
    count = workspace.size(15_000, 500)
    arguments = ("--count", str(count), "--size", str(SIZE), "--durability", "power")
    told, finished = workspace.run_reference("nats_chain.py", *arguments, limit=LIMIT)
    return Measurement(rate(count, seconds_of(count, told)), finished.cpu_seconds, costs(count, finished.cpu_seconds))


CHAIN = Row(
    name="chain",
    unit="messages x hops / CPU s",
    about=f"{SIZE} B, sender to {PASSES} pass-throughs to receiver, all processes and the broker counted",
    ours=partial(hops_per_cpu_second, Line("chain", COUNT, 2_000, SIZE, PASSES)),
    references=(
        Reference("the same over one hop", partial(hops_per_cpu_second, Line("one-hop", COUNT, 2_000, SIZE)), 0.6),
    ),
)
_MAPPED = Line("map", 300_000, 2_000, SIZE, 1)
BATCH = Row(
    name="batch",
    unit="messages x hops / CPU s",
    about=f"{SIZE} B, sender to a batch kernel (max_size=256) to receiver, all processes and the broker counted",
    ours=partial(hops_per_cpu_second, replace(_MAPPED, name="batch", kernel="pass-batches")),
    references=(Reference("the same with a kernel of one message", partial(hops_per_cpu_second, _MAPPED), 0.7),),
)
REDUCE = Row(
    name="reduce",
    unit="messages x hops / CPU s",
    about=f"{SIZE} B, sender to a reducer of windows with ten thousand keys, two messages each, to receiver",
    ours=partial(hops_per_cpu_second, replace(_MAPPED, name="reduce", kernel="pass-windows")),
    references=(Reference("the same with a kernel of one message", partial(hops_per_cpu_second, _MAPPED), None),),
)
TWO_HOPS = Row(
    name="two-hops",
    unit="messages/s",
    about=f"{SIZE} B, sender to pass-through to receiver, synced to disk before each acknowledgement",
    ours=partial(messages_per_second, Line("two-hops", 1_000_000, 2_000, SIZE, 1, "power")),
    references=(
        Reference(
            "the same with nats-py, message by message, on the same server and settings", message_by_message, 25.0
        ),
    ),
    ours_at_least=100_000.0,
)

"""Takes a row's measurements: ours and the reference's in turns, again where others disturbed them."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench import machine
from bench.measurements import Measure, Measurement, Pair, Result, Row, Taken, enough, quietest
from bench.workspace import Workspace

Tell = Callable[[str], None]


def measure(row: Row, workspace: Workspace, *, repeat: int, tell: Tell) -> Result:
    """Measure `row` `repeat` times, after a first time that does not count. Raises what its measurements raise.

    Short measurements, and those of a row that is measured once, are not repeated where others disturbed them.
    """
    if row.once or workspace.short:
        return Result(row, tuple(_pair(row, workspace, number, tell) for number in range(1 if row.once else repeat)))
    tell(f"{row.name}: warming up")
    row.ours(workspace)
    pairs: list[Pair] = []
    while not enough(pairs, repeat):
        pairs.append(_pair(row, workspace, len(pairs), tell))
    return Result(row, quietest(pairs, repeat))


def _pair(row: Row, workspace: Workspace, number: int, tell: Tell) -> Pair:
    if row.reference is None:
        return Pair(_take(row, "ours", row.ours, workspace, tell))
    if number % 2 == 0:
        ours = _take(row, "ours", row.ours, workspace, tell)
        return Pair(ours, _take(row, "reference", row.reference, workspace, tell))
    # the other way round: neither always has the machine as the other left it
    reference = _take(row, "reference", row.reference, workspace, tell)
    return Pair(_take(row, "ours", row.ours, workspace, tell), reference)


def _take(row: Row, what: str, take: Measure, workspace: Workspace, tell: Tell) -> Taken:
    load, busy, started = machine.load(), machine.busy_seconds(), time.monotonic()
    measurement = take(workspace)
    taken = Taken(measurement, load, _others(measurement, busy, time.monotonic() - started))
    tell(f"{row.name}: {what} {taken.value:,.4g} {row.unit}, load before {load:.2f}, others {taken.others:.2f} cores")
    return taken


def _others(measurement: Measurement, busy_before: float | None, seconds: float) -> float:
    busy = machine.busy_seconds()
    if busy is None or busy_before is None:
        return 0.0
    return max(0.0, busy - busy_before - measurement.cpu_seconds) / seconds

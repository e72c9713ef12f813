"""Takes a row's measurements: ours and the references' in turns, again where others disturbed them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import machine
from bench.measurements import Measure, Measurement, Reference, Result, Round, Row, Taken, enough, quietest
from bench.programs import ProgramError
from bench.workspace import Workspace

Tell = Callable[[str], None]


@dataclass
class Measured:
    """The results of a row, and the names of those that could not be had, with the reason."""

    results: list[Result] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def measure(row: Row, workspace: Workspace, *, repeat: int, tell: Tell) -> Measured:
    """Measure `row` `repeat` times, after a first time that does not count.

    Raises what our own measurements raise. A reference that fails is left out from then on. Short measurements, and
    those of a row that is measured once, are not repeated where others disturbed them.
    """
    turns = _Turns(row, workspace, tell)
    rounds: list[Round] = []
    if row.once or workspace.short:
        rounds = [turns.take() for _ in range(1 if row.once else repeat)]
    else:
        tell(f"{row.name}: warming up")
        row.ours(workspace)
        while not enough(rounds, repeat):
            rounds.append(turns.take())
    return _measured(row, quietest(rounds, repeat), turns.failed)


def _measured(row: Row, rounds: tuple[Round, ...], failed: dict[Measure, str]) -> Measured:
    measured = Measured()
    if not row.references:
        measured.results.append(Result(row, rounds))
    for reference in row.references:
        result = Result(row, rounds, reference)
        if reason := failed.get(reference.take):
            measured.missing[result.name] = reason
        else:
            measured.results.append(result)
    return measured


class _Turns:
    """Ours and the references', each time in another order: none always has the machine as the same other left it."""

    def __init__(self, row: Row, workspace: Workspace, tell: Tell) -> None:
        self.failed: dict[Measure, str] = {}
        self._row = row
        self._workspace = workspace
        self._tell = tell
        self._number = 0
        names: dict[Measure, Reference] = {}
        for reference in row.references:  # one measurement may serve several of them
            names.setdefault(reference.take, reference)
        self._beside = list(names.values())

    def take(self) -> Round:
        forward = self._number % 2 == 0
        self._number += 1
        if forward:
            ours = self._take("ours", self._row.ours)
            return Round(ours, self._take_beside(self._beside))
        references = self._take_beside(self._beside[::-1])
        return Round(self._take("ours", self._row.ours), references)

    def _take_beside(self, beside: list[Reference]) -> dict[Measure, Taken]:
        taken: dict[Measure, Taken] = {}
        for reference in beside:
            if reference.take in self.failed:
                continue
            try:
                taken[reference.take] = self._take(reference.name or "reference", reference.take)
            except (ProgramError, ValueError) as error:
                self.failed[reference.take] = str(error)
        return taken

    def _take(self, what: str, take: Measure) -> Taken:
        load, busy, started = machine.load(), machine.busy_seconds(), time.monotonic()
        measurement = take(self._workspace)
        taken = Taken(measurement, load, _others(measurement, busy, time.monotonic() - started))
        figure = f"{taken.value:,.4g} {self._row.unit}"
        self._tell(f"{self._row.name}: {what} {figure}, load before {load:.2f}, others {taken.others:.2f} cores")
        return taken


def _others(measurement: Measurement, busy_before: float | None, seconds: float) -> float:
    busy = machine.busy_seconds()
    if busy is None or busy_before is None:
        return 0.0
    return max(0.0, busy - busy_before - measurement.cpu_seconds) / seconds

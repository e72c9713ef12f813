"""Many cases, and what became of all of them together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.cases import Case, Report
from chaos.shapes import Shape

SPARE = 1.1
"""So many times the faults that are asked for are planned: a run may have ended, or a victim be gone, before some."""
LEAST = 60
"""Messages for each source of a case, at least."""


@dataclass(frozen=True, slots=True)
class Total:
    """`failed` counts the cases in which something other than messages was wrong."""

    faults: int
    messages: int
    lost: int
    doubled: int
    wrong: int
    failed: int

    @classmethod
    def of(cls, reports: Sequence[Report]) -> Total:
        verdicts = [report.verdict for report in reports]
        return cls(
            sum(report.faults for report in reports),
            sum(verdict.messages for verdict in verdicts),
            sum(verdict.lost for verdict in verdicts),
            sum(verdict.doubled for verdict in verdicts),
            sum(verdict.wrong for verdict in verdicts),
            sum(bool(report.problems) for report in reports),
        )

    def line(self) -> str:
        return f"faults {self.faults}, messages {self.messages}, lost {self.lost}, doubled {self.doubled}"

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.failed)


def plan(shapes: Sequence[Shape], *, seed: int, faults: int, messages: int, rounds: int) -> list[Case]:
    """Cases that see about so many faults and messages altogether. Each round has each shape once."""
    each = math.ceil(faults * SPARE / (rounds * len(shapes)))
    weight = rounds * sum(shape.deliveries * shape.share for shape in shapes)
    return [
        Case(shape, seed + number, each, max(LEAST, math.ceil(messages * shape.share / weight)))
        for number in range(rounds)
        for shape in shapes
    ]


def kinds(reports: Sequence[Report]) -> Counter[str]:
    """How often each kind of fault was injected."""
    return sum((report.injected for report in reports), Counter())

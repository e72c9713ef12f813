"""One case: a pipeline that runs while it is disturbed, and what became of it."""

from __future__ import annotations

import json
import shutil
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from chaos.checking import Counts, Lane, Outcome, Verdict, compare, letters
from chaos.engines import Engine
from chaos.injecting import Injector
from chaos.runs import CommandError, DetachedRun, Run
from chaos.schedules import PACE, Fault, schedule
from chaos.servers import Server
from chaos.shapes import SHAPES, SOURCES, Shape

OPERATORS = Path(__file__).parents[1] / "operators"
START_SECONDS = 120.0
END_SECONDS = 300.0
LEAST_RATE = 500.0
"""How long a run may take to its end when no more faults come: so long, and what its messages take at this rate."""
AT_THE_END = 0.1
"""The share of the faults that come when the sources are told to hurry."""
LOOK_SECONDS = 0.05
AGAIN_SECONDS = 60.0
"""How long a fault waits for somebody whom it can be done to."""
RESUMES = 5
REFUSALS = 20


@dataclass(frozen=True, slots=True)
class Case:
    """A shape, so many messages for each source, so many faults, and the seed that chooses them."""

    shape: Shape
    seed: int
    faults: int
    count: int

    @property
    def name(self) -> str:
        return f"{self.shape.name}-{self.seed}"

    @property
    def proxied(self) -> bool:
        """Whether its broker is a server behind a proxy: one in three."""
        return (self.seed + SHAPES.index(self.shape)) % 3 == 0

    @property
    def schedule(self) -> list[Fault]:
        return schedule(f"{self.seed} {self.shape.name}", self.faults, proxied=self.proxied)

    @property
    def rate(self) -> float:
        """Such that the sources are about done when the faults are."""
        sources: int = sum(value["operator"] in SOURCES for value in self.shape.operators(self.count).values())
        return max(20.0, float(sources * self.count) / max(1.0, self.faults * PACE))


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a case. `problems` are what is wrong beside messages, such as a run that never ended."""

    case: Case
    verdict: Verdict
    seconds: float
    injected: Counter[str] = field(default_factory=Counter)
    problems: tuple[str, ...] = ()
    folder: Path | None = None
    """Where it is kept, if something is wrong."""

    @property
    def faults(self) -> int:
        return self.injected.total()

    @property
    def good(self) -> bool:
        return self.verdict.good and not self.problems


class StoppedError(RuntimeError):
    """Somebody wants no more of it."""


def carry_out(
    case: Case, folder: Path, surroundings: Path, stop: threading.Event, engine: Engine | None = None
) -> Report:
    """Run it in `folder`, which is gone afterwards unless something is wrong. With an `engine`, in containers of it.

    Raises nothing that a run can cause, and `StoppedError` soon after `stop` is set.
    """
    folder.mkdir(parents=True)
    (folder / "operators").symlink_to(OPERATORS if engine is None else engine.operators)
    pipeline = folder / "pipeline.json"
    pipeline.write_text(json.dumps(case.shape.pipeline(case.count, case.rate)))
    begun = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder / "server")) if case.proxied else None
        kind = DetachedRun if case.shape.detached else Run
        run = kind(folder, surroundings, broker_url=server.url if server else None, engine=engine)
        stack.callback(run.end)
        injector = Injector(run, server)
        problems = _Disturbance(case, run, injector, stop).carry_out(pipeline)
        problems += [f"outlived its supervisor: {command}" for command in injector.orphans]
        try:
            found = collect(run)
        except (OSError, ValueError, CommandError, zipfile.BadZipFile) as error:
            found = Outcome()
            problems.append(f"what it left cannot be read: {error}")
        problems += [f"was left behind: {command}" for command in run.wait_until_gone()]
    verdict = compare(case.shape.expected(case.count), found)
    seconds = time.monotonic() - begun
    report = Report(case, verdict, seconds, injector.injected, tuple(problems), folder)
    if not report.good:
        return report
    shutil.rmtree(folder)
    return Report(case, verdict, seconds, injector.injected)


class _Disturbance:
    """A run and its faults, from its start to its end."""

    def __init__(self, case: Case, run: Run, injector: Injector, stop: threading.Event) -> None:
        self._faults = case.schedule
        self._options = case.shape.options
        self._run = run
        self._injector = injector
        self._stop = stop
        self._patience = END_SECONDS + case.shape.expected(case.count).messages / (LEAST_RATE * case.shape.share)
        self._problems: list[str] = []
        self._proxied = case.proxied
        self._refusals = 0

    def carry_out(self, pipeline: Path) -> list[str]:
        """What went wrong."""
        self._run.start(pipeline, *self._options)
        if not self._wait(START_SECONDS, lambda: "running" in self._run.states):
            return [f"it did not start: {self._run.summary()['reason']}"]
        at_the_end = max(1, round(AT_THE_END * len(self._faults)))
        for left, fault in zip(range(len(self._faults), 0, -1), self._faults, strict=True):
            if left == at_the_end:
                (self._run.place / "outputs" / ".hurry").touch()
            self._wait(fault.at)
            self._keep_alive()
            self._wait(AGAIN_SECONDS, partial(self._done_or_over, fault))
        if not self._ends():
            self._problems.append(f"it did not end within {self._patience:.0f} s: {self._run.summary()['reason']}")
        return self._problems

    def _done_or_over(self, fault: Fault) -> bool:
        return self._has_ended or self._injector.inject(fault)

    def _ends(self) -> bool:
        until = time.monotonic() + self._patience
        while not self._has_ended:
            self._keep_alive()
            if time.monotonic() > until or len(self._problems) > RESUMES:
                return False
            self._wait(1.0, lambda: self._run.supervisor is None)
        return True

    @property
    def _has_ended(self) -> bool:
        return self._run.supervisor is None and self._run.summary()["state"] == "completed"

    def _keep_alive(self) -> None:
        """A run that has ended before its time is a problem; it is gone on with, as its user would."""
        if self._run.supervisor is not None or self._has_ended:
            return
        # who names a server that is away at the moment is told so, and tries again
        away = self._proxied and self._run.refused
        self._refusals += away
        if not away or self._refusals > REFUSALS:
            summary = self._run.summary()
            self._problems.append(f"it ended by itself, {summary['state']}, and was resumed: {summary['reason']}")
        self._run.resume()

    def _wait(self, seconds: float, condition: Callable[[], bool] = lambda: False) -> bool:
        """Whether the condition was met in time. Raises `StoppedError`."""
        until = time.monotonic() + seconds
        while True:
            if self._stop.is_set():
                raise StoppedError
            self._injector.tend()
            self._run.look()
            if condition():
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))


def collect(run: Run) -> Outcome:
    """What its sinks have written, and its dead letters. Raises `CommandError`, `OSError`, `ValueError`."""
    lanes: dict[Lane, Counts] = {}
    wrong: list[str] = []
    for file in sorted((run.place / "outputs").glob("*.npz")):
        with np.load(file) as recorded:
            for name in recorded.files:
                lane = file.name.split(".")[0], name.replace("|", "/")
                lanes[lane] = lanes[lane] + recorded[name] if lane in lanes else recorded[name]
        text = file.with_name(f"{file.name}.wrong").read_text()
        wrong += [] if text == "[]" else [f"{file.name}: {text}"]
    dead = run.command("dead", "ls", str(run.place)) if run.summary().get("dead") else []
    return Outcome(lanes, letters(dead), tuple(wrong))

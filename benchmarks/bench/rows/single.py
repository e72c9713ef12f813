"""Operators without a pipeline: tasks from a file, and runs that a daemon does."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import programs
from bench.measurements import Measurement, Reference, Row
from bench.workspace import INTERACTEM, ROOT, Workspace

LIMIT = 120.0
PASS_THROUGH = ROOT / "operators" / "pass-through"
TASKS = 300_000
LINES = 50
RUNS = 20


def write_tasks(path: Path, count: int) -> None:
    path.write_text("".join(f'{{"id": {number}, "data": "{number:030}"}}\n' for number in range(count)))


def tasks(workspace: Workspace) -> Measurement:
    """From the command's start to its end."""
    count = workspace.size(TASKS, 1_000)
    with workspace.folder() as folder:
        given, made = folder / "tasks.jsonl", folder / "results.jsonl"
        write_tasks(given, count)
        command = [str(INTERACTEM), "operator", "run", str(PASS_THROUGH), "--input", str(given), "--output", str(made)]
        finished = programs.run(command, folder=folder, limit=LIMIT)
        seconds = time.monotonic() - finished.started
        with made.open() as lines:
            successes = sum('"status":"success"' in line for line in lines)
        if successes != count:
            raise programs.ProgramError(command, f"{successes} of {count} tasks have a result", "")
    return Measurement(count / seconds, finished.cpu_seconds, {"CPU seconds": finished.cpu_seconds})


def loop(workspace: Workspace) -> Measurement:
    count = workspace.size(TASKS, 1_000)
    with workspace.folder() as folder:
        write_tasks(folder / "tasks.jsonl", count)
        told, finished = workspace.run_reference("json_lines.py", "--tasks", str(folder / "tasks.jsonl"), limit=LIMIT)
    return Measurement(count / told["seconds"], finished.cpu_seconds)


def added_lines(workspace: Workspace) -> Measurement:
    """Milliseconds from a line's being added to its result, with nothing else to do; the median."""
    before = _cpu_seconds()
    with workspace.folder() as folder:
        given, made = folder / "tasks.jsonl", folder / "results.jsonl"
        given.touch()
        command = [str(INTERACTEM), "operator", "run", str(PASS_THROUGH), "--follow"]
        process = subprocess.Popen(
            [*command, "--input", str(given), "--output", str(made)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _answered(given, made)  # its start
            taken = [_answered(given, made) for _ in range(workspace.size(LINES, 3))]
        finally:
            process.terminate()
            process.wait(LIMIT)
    used = _cpu_seconds() - before
    return Measurement(statistics.median(taken) * 1e3, used, {"p99 ms": sorted(taken)[len(taken) * 99 // 100] * 1e3})


def _answered(given: Path, made: Path) -> float:
    """Seconds from a line's being added to a line in the results."""
    before = made.stat().st_size if made.exists() else 0
    with given.open("a") as file:
        file.write('{"data": "x"}\n')
    begun = time.perf_counter()
    while not made.exists() or made.stat().st_size == before:
        if time.perf_counter() - begun > LIMIT:
            raise programs.ProgramError(["operator run --follow"], f"no result within {LIMIT:g} s", "")
        time.sleep(0.0002)
    taken = time.perf_counter() - begun
    time.sleep(0.02)  # idle again
    return taken


def daemon_runs(workspace: Workspace) -> Measurement:
    """Milliseconds of a `daemon run` of nothing, less those of an interpreter that starts and ends; the median."""
    before, bare = _cpu_seconds(), [sys.executable, "-c", "pass"]
    with _daemon(workspace) as command:
        pairs = [(_timed(command), _timed(bare)) for _ in range(workspace.size(RUNS, 2))]
    over = statistics.median(run - start for run, start in pairs)
    starts = statistics.median(start for _, start in pairs)
    return Measurement(over * 1e3, _cpu_seconds() - before, {"ms of the interpreter": starts * 1e3})


def _cpu_seconds() -> float:
    """Of all processes that this one has started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _timed(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


@contextmanager
def _daemon(workspace: Workspace) -> Iterator[list[str]]:
    """The command of a run of nothing, while the daemon is there."""
    with workspace.folder() as folder:
        operator, file = folder / "nothing", folder / "connection.json"
        operator.mkdir()
        (operator / "run.py").write_text(NOTHING)
        daemon = [str(INTERACTEM), "operator", "daemon"]
        connection = ["--connection-file", str(file)]
        subprocess.run([*daemon, "start", str(operator), *connection], check=True, stdout=subprocess.DEVNULL)
        try:
            yield [*daemon, "run", *connection, "--run-data", json.dumps({})]
        finally:
            subprocess.run([*daemon, "stop", *connection], check=True, stdout=subprocess.DEVNULL)


NOTHING = """from interactem.runtime import Operator, operator


@operator
class Nothing(Operator):
    def run(self):
        return None
"""

FILE_TASKS = Row(
    name="tasks",
    unit="tasks/s",
    about="tasks of 30 B from a file to a file of results, one worker, the command's start counted",
    ours=tasks,
    references=(Reference("a loop over the lines with json, in one process, without a ledger", loop),),
    ours_at_least=30_000.0,
)
ADDED_LINES = Row(
    name="added-lines",
    unit="ms",
    about="from a line's being added to a file that is followed to its result, idle",
    ours=added_lines,
    ours_at_least=5.0,
    less=True,
)
DAEMON_RUN = Row(
    name="daemon-run",
    unit="ms",
    about="`interactem operator daemon run` of nothing, over the start of the interpreter",
    ours=daemon_runs,
    ours_at_least=100.0,
    less=True,
)

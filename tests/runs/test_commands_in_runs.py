"""Operators that wrap a command, in runs: killed, stopped, failing, and with nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]

EDGES = ("numbers.out -> work.in", "work.out -> keep.in")


def squares(count, *, without=(), size=8):
    return [[number, number**2, size, 1] for number in range(count) if number not in without]


@pytest.fixture
def run_of(project):
    """A run of numbers through an operator with a command, into a sink."""

    def write(operator, count, *, parameters=None, **more):
        operators = {
            "numbers": {"operator": "count-up", "parameters": {"count": count}},
            "work": {"operator": operator, "parameters": parameters or {}, **more},
            "keep": {"operator": "keep"},
        }
        return project.pipeline(operators, *EDGES)

    return write


def marked(mark):
    """The processes that have this text in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("operator", ["wrapped", "answering"])
def test_a_pipeline_with_a_command(project, run_of, operator):
    done = project.run(run_of(operator, 20, replicas=2))
    assert done.code == 0, done.err
    assert project.kept() == squares(20)
    assert not (project.path / "run" / "work").exists()


def test_a_command_that_fails_ends_as_a_dead_letter_with_what_it_said(project, run_of):
    done = project.run(run_of("wrapped", 5, parameters={"fail_at": 3}, max_attempts=2))
    assert done.code == 1
    assert project.kept() == squares(5, without={3})
    listed = json.loads(project.do("pipeline", "dead", "ls", project.path / "run", "--json").out)
    assert len(listed) == 1
    assert "ended with exit code 1:\nno number 3 today" in json.dumps(listed[0]).replace("\\n", "\n")


@pytest.mark.parametrize("operator", ["wrapped", "answering"])
def test_replicas_that_are_killed_lose_and_double_nothing(project, run_of, operator):
    run = project.start(run_of(operator, 60, replicas=2))
    for number in (3, 15):
        run.wait_for(lambda run, number=number: came(project, number), f"number {number}")
        for (name, _), pid in run.replicas().items():
            if name == "work":
                run.kill(pid)
    done = run.end()
    assert done.code == 0, done.err
    assert project.kept() == squares(60)


def came(project, number):
    """Whether the sink has seen a number as high as this one."""
    files = (project.path / "run" / "outputs").glob(".came-*")
    return any(int(file.suffix[1:]) >= number for file in files)


def started(run, mark, count=2):
    """Whether a command runs, and what it has started itself."""
    return len(marked(mark)) >= count


@pytest.mark.parametrize("who", ["replica", "supervisor"])
def test_no_command_is_left_when_its_replica_or_the_supervisor_is_killed(project, run_of, who):
    mark = uuid.uuid4().hex
    run = project.start(run_of("wrapped", 3, parameters={"seconds": 900, "mark": mark}))
    run.wait_for(lambda run: started(run, mark), "the command to run")
    before = set(marked(mark))
    if who == "supervisor":
        run.process.kill()
        run.end()
        assert project.nothing_is_left()
        assert not set(marked(mark))
        return
    [pid] = [pid for (name, _), pid in run.replicas().items() if name == "work"]
    os.kill(pid, signal.SIGKILL)
    run.wait_for(lambda run: not before & set(marked(mark)), "the command and its child to be gone")
    run.wait_for(lambda run: started(run, mark), "the next one to be at work")
    stopped(run)
    assert not marked(mark)


def test_a_run_that_is_stopped_ends_its_commands_and_blames_no_message(project, run_of):
    mark = uuid.uuid4().hex
    file = run_of("wrapped", 3, parameters={"seconds": 900, "mark": mark}, max_attempts=1)
    run = project.start(file)
    run.wait_for(lambda run: started(run, mark), "the command to run")
    stopped(run)
    assert not marked(mark)
    assert run.events("failure") == []


def stopped(run):
    """Ctrl-C twice: now."""
    run.signal(signal.SIGINT)
    run.wait_for(lambda run: run.events("state")[-1]["state"] == "draining", "draining")
    run.signal(signal.SIGINT)
    assert run.end().code == 130


def test_a_missing_program_is_told_before_anything_starts(project, run_of):
    file = project.path / "operators" / "answering" / "operator.json"
    spec = json.loads(file.read_text())
    spec["command"]["arguments"] = ["no-such-program"]
    file.write_text(json.dumps(spec))
    done = project.run(run_of("answering", 3))
    assert done.code == 2
    assert "$.command.arguments[0]: there is no program 'no-such-program' on the PATH" in done.out + done.err
    assert not (project.path / "run" / "events.jsonl").exists()

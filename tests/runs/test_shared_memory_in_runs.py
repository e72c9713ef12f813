"""Large messages in shared memory, whatever happens to those who use it: the result is an undisturbed run's."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from interactem.runtime.arena_index import Index

pytestmark = [
    pytest.mark.broker,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="shared memory is there on Linux alone"),
]
SIZE = 100_000
"""Numbers of four bytes in each message."""


def write(project, count, *, look=None, panes=None, replicas=2):
    operators = {
        "panes": {"operator": "panes", "parameters": {"count": count, "size": SIZE, **(panes or {})}},
        "look": {"operator": "look", "replicas": replicas, "parameters": look or {}},
        "keep": {"operator": "keep"},
    }
    return project.pipeline(operators, "panes.out -> look.in", "look.out -> keep.in")


def whole(count):
    return [[number, [number], 4 * SIZE, 1] for number in range(count)]


def memory_of(project, folder="run"):
    plan = json.loads((project.path / folder / "plan.json").read_text())
    return Path("/dev/shm", f"interactem-{plan['run']}")


def test_large_messages_do_not_go_through_the_broker_and_leave_nothing(project):
    run = project.start(write(project, 100, look={"fails": 7}))
    done = run.end()
    assert done.code == 0, done
    assert project.kept() == whole(100)
    assert not run.events("shm")
    assert done.json["operators"]["look"]["retried"] == 1
    assert not memory_of(project).exists()


def test_without_shared_memory_they_do(project):
    run = project.start(write(project, 20), "--no-shm")
    done = run.end()
    assert done.code == 0, done
    assert project.kept() == whole(20)
    assert [event["reason"] for event in run.events("shm")] == ["messages go through the broker: --no-shm was given"]


@pytest.mark.slow
def test_replicas_killed_again_and_again(project):
    random.seed(4)
    run = project.start(write(project, 300, panes={"seconds": 0.02}))
    with run.killing(
        lambda run: random.sample(sorted(run.replicas().items()), 1) if run.replicas() else [], 1.0, rounds=12
    ):
        done = run.end(250)
    assert done.code == 0, done
    assert project.kept() == whole(300)
    assert done.json["dead"] == 0
    assert not memory_of(project).exists()


def test_a_replica_stopped_in_its_kernel_until_its_memory_was_used_again(project):
    run = project.start(write(project, 400, look={"holds": 5}, panes={"seconds": 0.01}))
    outputs = project.path / "run" / "outputs"
    [held] = run.wait_for(lambda run: list(outputs.glob(".holds-*")), "somebody holds a message")
    pid = int(held.name.partition("-")[2])
    os.kill(pid, signal.SIGSTOP)
    try:
        # the others have it after the acknowledgement time, and go on
        run.wait_for(lambda run: any(int(f.suffix[1:]) > 300 for f in outputs.glob(".came-*")), "the others go on")
    finally:
        (outputs / ".go").touch()
        os.kill(pid, signal.SIGCONT)
    done = run.end()
    assert done.code == 0, done
    assert project.kept() == whole(400)
    assert done.json["dead"] == 0


def test_what_was_released_to_a_dead_source_is_free_by_its_acknowledgements(project):
    run = project.start(write(project, 400))
    outputs = run.folder / "outputs"

    def came():
        return max((int(file.suffix[1:]) for file in outputs.glob(".came-*")), default=-1)

    def held(run):
        with suppress(OSError, ValueError):
            index = Index.open(memory_of(project) / "0.0")
            return sum(index.extent(block)[1] for block in index.held())
        return 0

    run.wait_for(lambda run: came() >= 0, "messages to come")
    replicas = run.replicas()
    readers = [replicas["look", 0], replicas["look", 1]]
    stopped = [run.process.pid, *readers]  # nobody reads, and nobody starts the source again
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        run.wait_for(lambda run: held(run) > 60_000_000, "the source to have sent many")
        sent = 0
        while (now := held(run)) > sent:  # what it has written but not sent when it is killed, nobody gets
            sent = now
            time.sleep(1)
        run.kill(replicas["panes", 0])
        for pid in readers:
            os.kill(pid, signal.SIGCONT)
        last = came()
        while (now := came()) > last or now < 100:  # what they release now, nobody hears
            last = now
            time.sleep(1)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    done = run.end()
    assert done.code == 0, done
    assert project.kept() == whole(400)


def test_after_kill_9_of_the_supervisor_resume_finds_what_was_in_memory(project):
    run = project.start(write(project, 200, panes={"seconds": 0.01}))
    run.wait_for(lambda run: list((run.folder / "outputs").glob(".came-*")), "messages to come")
    run.signal(signal.SIGKILL)
    run.end()
    project.nothing_is_left()
    assert memory_of(project).is_dir()
    done = project.resume().end()
    assert done.code == 0, done
    assert project.kept() == whole(200)
    assert not memory_of(project).exists()


def test_a_stopped_run_keeps_it_in_its_folder_and_doctor_puts_it_there(project):
    run = project.start(write(project, 200, panes={"seconds": 0.01}))
    run.wait_for(lambda run: list((run.folder / "outputs").glob(".came-*")), "messages to come")
    run.signal(signal.SIGKILL)
    run.end()
    project.nothing_is_left()
    assert memory_of(project).name.partition("-")[2] in project.do("doctor", "--clean", "--json").out
    assert not memory_of(project).exists()
    again = project.resume()
    again.wait_for(lambda run: len(list((run.folder / "outputs").glob(".came-*"))) > 1, "it goes on")
    again.signal(signal.SIGINT)
    again.signal(signal.SIGINT)
    again.end()
    assert not memory_of(project).exists()
    assert (project.path / "run" / "arenas").is_dir()
    done = project.resume().end()
    assert done.code == 0, done
    assert project.kept() == whole(200)


def test_what_is_lost_is_computed_again(project):
    run = project.start(write(project, 300, panes={"seconds": 0.01}))
    run.wait_for(lambda run: any(int(f.suffix[1:]) > 20 for f in (run.folder / "outputs").glob(".came-*")), "some")
    run.signal(signal.SIGKILL)
    run.end()
    project.nothing_is_left()
    shutil.rmtree(memory_of(project))
    again = project.resume()
    done = again.end()
    assert done.code == 0, done
    assert project.kept() == whole(300)
    assert "computed again" in again.events("shm")[-1]["reason"]

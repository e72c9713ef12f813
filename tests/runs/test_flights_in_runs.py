"""Several calls at once in a real run: what dies with what, and who is blamed for it."""

from __future__ import annotations

import os
import signal

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.timeout(150)]


def squares(project, kernel, count, **more):
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": count}},
        "square": {"operator": kernel, **more},
        "keep": {"operator": "keep"},
    }
    return project.pipeline(operators, "numbers.out -> square.in", "square.out -> keep.in")


def test_worker_processes_die_with_their_replica_and_others_go_on(project):
    run = project.start(squares(project, "squares-in-workers", 150))
    outputs = run.folder / "outputs"

    def workers():
        return {int(file.name.rpartition("-")[2]) for file in outputs.glob(".worker-*")}

    run.wait_for(lambda run: len(workers()) == 2, "both workers have had a message")
    first = workers()
    one = min(first)
    os.kill(one, signal.SIGKILL)
    run.wait_for(lambda run: len(workers()) == 3, "another worker has taken the dead one's place")
    before = workers()
    assert run.kill(run.replicas()["square", 0])
    run.wait_for(lambda run: len(workers()) == 5, "the next replica's workers have had messages")
    alive = {pid for pid, _ in project.processes()}
    assert not before & alive
    done = run.end()
    assert done.code == 0, done
    assert project.kept() == [[number, number**2, 8, 1] for number in range(150)]
    assert done.json["dead"] == 0
    assert project.nothing_is_left()


def test_of_all_that_were_in_flight_only_the_one_that_is_to_blame_is_lost(project):
    done = project.run(squares(project, "squares-in-threads", 40, max_attempts=2))
    assert done.code == 1, done
    assert project.kept() == [[number, number**2, 8, 1] for number in range(40) if number != 5]
    assert done.json["dead"] == 1
    assert project.nothing_is_left()

"""Runs whose operators are changed while they run."""

from __future__ import annotations

import os
import signal

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

SQUARE = '"square": number**2 + parameters["offset"]'
CUBE = '"square": number**3'


@pytest.fixture
def program(project):
    return project.path / "operators" / "trouble" / "run.py"


def save(file, text):
    """As most editors do it."""
    new = file.with_name(".run.py.new")
    new.write_text(text)
    os.replace(new, file)


def code(run, state):
    return [event for event in run.events("code") if event["state"] == state]


def test_new_code_is_taken_and_nothing_is_lost(project, chain, program):
    count = 600
    run = project.start(chain(count, numbers={"rate": 60.0}), "--watch")
    run.wait_for(lambda run: any((run.folder / "outputs").glob(".came-*")), "messages come through")

    save(program, program.read_text().replace(SQUARE, "oh no"))
    run.wait_for(lambda run: code(run, "refused"), "the mistake is found")
    killed = run.replicas()["trouble", 0]
    run.kill(killed)  # the old code goes on also in a replica that is started after the mistake
    run.wait_for(lambda run: run.replicas().get(("trouble", 0), killed) != killed, "it is started again")
    assert not code(run, "changed")

    save(program, program.read_text().replace("oh no", CUBE))
    run.wait_for(lambda run: code(run, "changed"), "the new code is taken")

    done = run.end()
    assert done.code == 0, done
    kept = project.kept()
    assert [number for number, *_ in kept] == list(range(count))
    assert {times for *_, times in kept} == {1}
    assert {result - number**2 for number, result, *_ in kept[:5]} == {0}
    assert {result - number**3 for number, result, *_ in kept[-5:]} == {0}
    assert f"{program}" in done.err
    assert "SyntaxError" in done.err
    assert "its replicas start again" in done.err


def test_code_that_fails_to_import_is_refused_with_its_own_lines(project, chain, program):
    run = project.start(chain(100_000, numbers={"rate": 60.0}), "--watch")
    run.wait_for(lambda run: any((run.folder / "outputs").glob(".came-*")), "messages come through")
    program.write_text("import no_such_module_anywhere\n" + program.read_text())
    [event] = run.wait_for(lambda run: code(run, "refused"), "the mistake is found")
    assert "No module named 'no_such_module_anywhere'" in event["error"]
    assert f'File "{program}", line 1' in event["error"]
    assert {name for name, _ in run.replicas()} >= {"numbers", "trouble", "total", "keep"}
    run.signal(signal.SIGINT)
    done = run.end()
    assert (done.code, done.json["state"]) == (130, "stopped"), done


def test_a_run_that_nobody_sees_is_not_watched(project, chain):
    done = project.do("pipeline", "run", chain(1), "--watch", "--detach")
    assert done.code == 2
    assert "leave out --detach" in done.err

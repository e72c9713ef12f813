"""Runs that are stopped in every way, resumed, followed and changed while they run."""

from __future__ import annotations

import json
import os
import signal

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 150


def under_way(run):
    """Whether messages have come through since this command began."""
    keep = run.replicas().get(("keep", 0))
    return keep is not None and any((run.folder / "outputs").glob(f".came-{keep}.*"))


def interrupt_once(project, run):
    run.signal(signal.SIGINT)
    return 130, "interrupted by SIGINT"


def terminate(project, run):
    run.signal(signal.SIGTERM)
    return 130, "interrupted by SIGTERM"


def stop(project, run):
    assert project.do("pipeline", "stop", "last", "--json").json["state"] == "stopped"
    return 130, "interrupted by SIGTERM"


def stop_now(project, run):
    assert project.do("pipeline", "stop", "last", "--now", "--json").json["state"] == "stopped"
    return 130, "at once"


def test_stopped_in_every_way_and_resumed(project, chain, exactly_once):
    run = project.start(chain(COUNT, numbers={"rate": 30.0}))
    for way in (interrupt_once, terminate, stop, stop_now):
        run.wait_for(under_way, "messages come through")
        code, reason = way(project, run)
        done = run.end()
        assert (done.code, done.json["state"]) == (code, "stopped"), (way, done)
        assert reason in done.json["reason"]
        assert project.nothing_is_left()
        assert project.do("pipeline", "ps", "--json").json[0]["state"] == "stopped"
        run = project.resume()
    done = run.end()
    assert done.code == 0, done
    exactly_once(project, COUNT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_as_soon_as_there_is_a_folder(project, chain, exactly_once, number):
    run = project.start(chain(COUNT))
    run.wait_for(lambda run: (run.folder / "plan.json").exists(), "there is a folder")
    run.signal(number)
    done = run.end()
    assert done.code == 130, done
    assert json.loads((project.path / "run" / "summary.json").read_text())["state"] == "stopped"
    assert project.nothing_is_left()
    done = project.do("pipeline", "resume", "last", "--json")
    assert (done.code, done.json["state"]) == (0, "completed"), done
    exactly_once(project, COUNT)


def test_interrupted_twice(project, chain, exactly_once):
    run = project.start(chain(COUNT, keep={"seconds": 0.5}))
    run.wait_for(under_way, "messages come through")
    run.signal(signal.SIGINT)
    run.wait_for(lambda run: run.events("state")[-1]["state"] == "draining", "draining")
    run.signal(signal.SIGINT)
    done = run.end()  # it would take minutes to drain
    assert (done.code, done.json["state"]) == (130, "stopped")
    assert done.json["reason"] == "interrupted by SIGINT, at once"
    assert project.nothing_is_left()
    assert project.do("pipeline", "set", "last", "keep.seconds=0").code == 0
    done = project.resume().end()
    assert done.code == 0, done
    exactly_once(project, COUNT)


def test_drained_means_that_nothing_is_under_way(project, chain):
    run = project.start(chain(COUNT, numbers={"rate": 50.0}))
    run.wait_for(under_way, "messages come through")
    run.signal(signal.SIGINT)
    done = run.end()
    numbers = done.json["operators"]
    assert numbers["numbers"]["sent"] == numbers["trouble"]["received"] == numbers["keep"]["received"] < COUNT
    assert len(project.kept()) == numbers["numbers"]["sent"]


def test_its_time_is_up(project, chain, exactly_once):
    done = project.run(chain(COUNT, numbers={"rate": 30.0}), "--timeout", "2")
    assert (done.code, done.json["state"]) == (1, "stopped")
    assert done.json["reason"] == "its time of 2 s was up"
    done = project.resume().end()
    assert (done.code, done.json["state"]) == (0, "completed")
    exactly_once(project, COUNT)


def test_in_the_background(project, chain, exactly_once):
    file = chain(COUNT, numbers={"rate": 1.0})
    place = project.path / "run"
    done = project.do("pipeline", "run", file, "--detach", "--json", "--run-dir", place)
    assert done.code == 0, done
    assert set(done.json) == {"run", "state", "folder"}
    name = done.json["run"]
    listed = project.do("pipeline", "ps", "--json").json[0]
    assert (listed["run"], listed["state"], listed["folder"]) == (name, "running", str(place))
    assert project.do("pipeline", "resume", name).code == 2  # it runs
    assert project.do("pipeline", "run", file, "--run-dir", place).code == 2
    assert project.do("pipeline", "set", name, "numbers.rate=1000").code == 0
    assert project.do("pipeline", "logs", name, "--follow").code == 0  # ends with the run
    listed = project.do("pipeline", "ps", "--json").json[0]
    assert listed["state"] == "completed"
    done = project.do("pipeline", "set", name, "numbers.rate=1")
    assert (done.code, "was worked off" in done.err) == (2, True)
    exactly_once(project, COUNT)
    assert json.loads((place / "summary.json").read_text())["state"] == "completed"


def test_the_background_stopped_and_resumed(project, chain, exactly_once):
    file = chain(COUNT, numbers={"rate": 1.0})
    place = project.path / "run"
    assert project.do("pipeline", "run", file, "--detach", "--run-dir", place).code == 0
    done = project.do("pipeline", "stop", "last", "--json")
    assert (done.code, done.json["state"]) == (0, "stopped")
    assert project.do("pipeline", "stop", "last").code == 2  # it does not run
    assert project.nothing_is_left()
    assert project.do("pipeline", "set", "last", "numbers.rate=1000").code == 0
    assert project.do("pipeline", "resume", "last", "--detach").code == 0
    assert project.do("pipeline", "logs", "last", "--follow").code == 0
    exactly_once(project, COUNT)


def test_parameters_change_and_stay_changed(project, chain):
    run = project.start(chain(COUNT, numbers={"rate": 10.0}))
    run.wait_for(under_way, "messages come through")
    done = project.do("pipeline", "set", "last", "trouble.offset=1000000", "--json")
    assert (done.code, done.json["trouble"]["offset"]) == (0, 1_000_000)
    seen = project.do("pipeline", "set", "last", "trouble.seconds=0.001", "--json").json["trouble"]
    assert (seen["offset"], seen["seconds"]) == (1_000_000, 0.001)
    for pid in run.replicas().values():
        run.kill(pid)
    run.wait_for(lambda run: any(event.get("restart") for event in run.events("replica")), "a restart")
    run.wait_for(under_way, "messages come through")
    run.signal(signal.SIGINT)
    run.end()
    assert project.do("pipeline", "set", "last", "numbers.rate=100").code == 0
    done = project.resume().end()
    assert done.code == 0, done
    kept = project.kept()
    changed = [square - number**2 for number, square, _, _ in kept]
    assert [number for number, *_ in kept] == list(range(COUNT))
    assert changed[0] == 0
    first = changed.index(1_000_000)
    # two replicas take the change up, each at once
    assert set(changed[first + 50 :]) == {1_000_000}


@pytest.mark.parametrize(
    ("value", "words"),
    {
        "trouble.mode=nonsense": "nonsense",
        "trouble.every=many": "every",
        "trouble.evry=3": "every",
        "truble.every=3": "trouble",
        "trouble": "operator.parameter=value",
    }.items(),
)
def test_values_that_do_not_fit_change_nothing(stopped, value, words):
    done = stopped.do("pipeline", "set", "last", "trouble.seconds=0.5", value)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert stopped.do("pipeline", "set", "last", "trouble.offset=1", "--json").json["trouble"]["seconds"] == 0.0


@pytest.fixture(scope="module")
def stopped(make_project):
    project = make_project("stopped")
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"rate": 10.0, "count": 1000}},
        "trouble": {"operator": "trouble"},
    }
    file = project.pipeline(operators, "numbers.out -> trouble.in")
    run = project.start(file)
    run.wait_for(lambda run: len(run.replicas()) == 2, "replicas")
    assert project.do("pipeline", "stop", "last", "--now").code == 0
    run.end()
    return project


def test_two_that_go_on_with_one_run(project, chain, exactly_once):
    run = project.start(chain(COUNT, numbers={"rate": 50.0}))
    run.wait_for(under_way, "messages come through")
    run.signal(signal.SIGKILL)
    run.end()
    both = [project.resume(), project.resume()]
    ended = [run.end() for run in both]
    assert sorted(done.code for done in ended) == [0, 2], ended
    (refused,) = [done for done in ended if done.code == 2]
    assert "error" in refused.json
    exactly_once(project, COUNT)
    assert project.do("pipeline", "ps", "--json").json[0]["state"] == "completed"


def test_the_background_killed_and_resumed(project, chain, exactly_once):
    project.environment["INTERACTEM_UNATTENDED_SECONDS"] = "0"
    file = chain(COUNT, numbers={"rate": 50.0})
    place = project.path / "run"
    assert project.do("pipeline", "run", file, "--detach", "--run-dir", place).code == 0
    (supervisor,) = [pid for pid, command in project.processes() if "interactem.engine.detached" in command]
    os.kill(supervisor, signal.SIGKILL)
    assert project.nothing_is_left()
    assert project.do("pipeline", "ps", "--json").json[0]["state"] == "interrupted"
    assert project.do("pipeline", "stop", "last").code == 2
    assert project.resume().end().code == 0
    exactly_once(project, COUNT)


def test_a_closed_terminal_drains(project, chain, exactly_once):
    run = project.start(chain(COUNT, numbers={"rate": 50.0}))
    run.wait_for(under_way, "messages come through")
    run.signal(signal.SIGHUP)
    done = run.end()
    assert done.json["reason"] == "interrupted by SIGHUP"
    assert project.resume().end().code == 0
    exactly_once(project, COUNT)


def test_a_reader_that_has_seen_enough_ends_nothing(project, chain, exactly_once):
    process = project.command("pipeline", "run", chain(COUNT, numbers={"rate": 50.0}), "--run-dir", "run")
    assert process.stdout.readline().startswith("run ")
    process.stdout.close()
    process.wait(90)
    process.stderr.close()
    assert json.loads((project.path / "run" / "summary.json").read_text())["state"] == "completed"
    exactly_once(project, COUNT)

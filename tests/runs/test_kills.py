"""`kill -9` of replicas, of the broker and of the supervisor: the result is that of an undisturbed run."""

from __future__ import annotations

import itertools
import random
import signal

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 300


def test_each_replica_killed_in_turn_every_second(project, chain, exactly_once):
    turn = itertools.count()

    def next_one(run):
        alive = sorted(run.replicas().items())
        return [alive[next(turn) % len(alive)]] if alive else []

    run = project.start(chain(COUNT, numbers={"rate": 20.0}))
    with run.killing(next_one, 1.0) as assassin:
        done = run.end(250)
    assert done.code == 0, done
    assert len(assassin.victims) >= 10
    assert {name for name, _ in assassin.victims} == {"numbers", "trouble", "total", "counts", "keep"}
    exactly_once(project, COUNT)
    assert done.json["dead"] == 0


def test_all_replicas_killed_at_once_again_and_again(project, chain, exactly_once):
    run = project.start(chain(COUNT, numbers={"rate": 25.0}))
    with run.killing(lambda run: run.replicas().items(), 1.0, rounds=25) as assassin:
        done = run.end(250)
    assert done.code == 0, done
    assert len(assassin.victims) >= 10
    exactly_once(project, COUNT)
    assert done.json["dead"] == 0


def test_the_broker_killed_again_and_again(project, chain, exactly_once):
    run = project.start(chain(COUNT, numbers={"rate": 30.0}))
    with run.killing(lambda run: [("broker", run.broker())], 1.5) as assassin:
        done = run.end(250)
    assert done.code == 0, done
    assert len(assassin.victims) >= 5
    exactly_once(project, COUNT)
    assert done.json["dead"] == 0
    assert sum(numbers["restarts"] for numbers in done.json["operators"].values()) == 0


def test_the_broker_killed_between_an_output_and_its_inputs_acknowledgement(project):
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": 60}},
        "square": {"operator": "broker-killer", "parameters": {"every": 10}},
        "keep": {"operator": "keep"},
    }
    file = project.pipeline(operators, "numbers.out -> square.in", "square.out -> keep.in")
    done = project.run(file, seconds=250)
    assert done.code == 0, done
    assert len(list((project.path / "run" / "outputs").glob(".killed-*"))) == 6
    assert project.kept() == [[number, (number // 2) ** 2, 300_000, 1] for number in range(120)]


def test_everything_killed_at_random(project, chain, exactly_once):
    chance = random.Random(7)

    def anyone(run):
        return [chance.choice([*run.replicas().items(), ("broker", run.broker())])]

    run = project.start(chain(COUNT, numbers={"rate": 25.0}))
    with run.killing(anyone, 0.7) as assassin:
        done = run.end(250)
    assert done.code == 0, done
    assert len(assassin.victims) >= 10
    exactly_once(project, COUNT)


def came(run):
    """How many numbers have had their effect; what `keep` notes outside of the broker."""
    return max((int(path.suffix[1:]) for path in (run.folder / "outputs").glob(".came-*.*")), default=0)


def test_the_supervisor_killed_and_the_run_resumed(project, chain, exactly_once):
    run = project.start(chain(COUNT, numbers={"rate": 40.0}))
    for share in range(1, 5):
        # each time a good deal further
        run.wait_for(lambda run, share=share: came(run) >= share * COUNT / 6, "messages come through")
        run.signal(signal.SIGKILL)
        run.end()
        # the tether: nobody is left, and that soon
        assert project.nothing_is_left()
        assert project.do("pipeline", "ps", "--json").json[0]["state"] == "interrupted"
        run = project.resume()
    done = run.end(250)
    assert done.code == 0, done
    exactly_once(project, COUNT)

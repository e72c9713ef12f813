"""Triggers of a run, pulled from the command line."""

from __future__ import annotations

import os
import signal

COUNT = 400


def under_way(project):
    file = project.pipeline(
        {
            "numbers": {"operator": "count-up", "parameters": {"count": COUNT, "rate": 20.0}},
            "poked": {"operator": "poked"},
            "keep": {"operator": "keep"},
        },
        "numbers.out -> poked.in",
        "poked.out -> keep.in",
    )
    run = project.start(file)
    run.wait_for(lambda run: list(run.folder.glob("outputs/.came-*")), "messages come through")
    return run


def test_triggers_are_pulled_from_outside(project):
    run = under_way(project)
    done = project.do("pipeline", "trigger", "last", "poked.tell", "--json")
    assert (done.code, done.json[0]["calls"], done.json[0]["sent"]) == (0, 1, 1)
    done = project.do("pipeline", "trigger", "last", "poked.drain")
    assert (done.code, done.out) == (0, "poked.0: 4 calls, 3 messages sent\n")
    done = project.do("pipeline", "trigger", "last", "poked.fail")
    assert (done.code, done.err) == (1, "poked.0: ValueError: poked in the wrong place\n")
    for name, why in {
        "poked.tel": "there is no trigger 'tel'; did you mean 'tell'?",
        "pokd.tell": "the run has no operator 'pokd'",
        "keep.tell": "its operator.json lists none",
        "poked": "write operator.trigger",
    }.items():
        done = project.do("pipeline", "trigger", "last", name)
        assert (done.code, why in done.err) == (2, True), done
    assert (
        project.do("pipeline", "set", "last", "numbers.rate=10000").out == "numbers.rate = 10000.0 (1 of 1 replica)\n"
    )
    assert run.end().code == 0
    kept = project.kept()
    assert [number for number, *_ in kept] == [-4, -3, -2, -1, *range(COUNT)]
    assert {times for *_, times in kept} == {1}
    done = project.do("pipeline", "trigger", "last", "poked.tell")
    assert (done.code, "does not run: completed" in done.err) == (2, True)


def test_a_replica_that_does_not_answer_is_named(project):
    run = under_way(project)
    stopped = run.replicas()["poked", 0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        done = project.do("pipeline", "trigger", "last", "poked.tell", "--timeout", "1", "--json")
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert done.code == 1
    assert "no answer within 1 s" in done.json[0]["error"]
    run.signal(signal.SIGINT)
    assert run.end().code == 130

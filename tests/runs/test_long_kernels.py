"""Kernels that take long are left alone; those that take longer than they may are ended, and nobody else suffers."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

LONG = 12.0
"""Seconds: more than twice the time after which what is not acknowledged is handed out again."""


def test_a_long_call_is_not_handed_out_again(project):
    """Two replicas each; one kernel sleeps, the other one keeps the interpreter to itself."""
    operators = {"numbers": {"operator": "count-up", "parameters": {"count": 20, "rate": 10.0}}}
    for name, hold in (("sleeps", False), ("holds", True)):
        operators[name] = {"operator": "long", "replicas": 2, "parameters": {"seconds": LONG, "hold": hold}}
        operators[f"keep-{name}"] = {"operator": "keep", "parameters": {"file": f"{name}.json"}}
    edges = [
        edge for name in ("sleeps", "holds") for edge in (f"numbers.out -> {name}.in", f"{name}.out -> keep-{name}.in")
    ]
    done = project.run(project.pipeline(operators, *edges), seconds=200)
    assert done.code == 0, done
    for name in ("sleeps", "holds"):
        calls = (project.path / "run" / "outputs" / f"calls-{name}").read_text().split()
        assert calls.count("0") == 1, f"{name}: {calls}"
        assert [(number, times) for number, _, _, times in project.kept(file=f"{name}.json")] == [
            (number, 1) for number in range(20)
        ]


def test_a_generator_that_takes_too_long(project):
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": 4}},
        "late": {"operator": "late-generator", "timeout": 1.0, "max_attempts": 2},
        "keep": {"operator": "keep"},
    }
    done = project.run(project.pipeline(operators, "numbers.out -> late.in", "late.out -> keep.in"))
    [letter] = project.do("pipeline", "dead", "ls", "last", "--json").json
    assert (letter["id"], letter["attempts"]) == ("numbers.1", 2)
    assert letter["error"].startswith("TimeoutError: the kernel took longer than its limit of 1 s"), done
    assert {0, 1, 4, 5, 6, 7} <= {number for number, *_ in project.kept()}
    assert {times for *_, times in project.kept()} == {1}


@pytest.mark.parametrize("late", ["source", "end"])
def test_a_source_or_an_end_that_takes_too_long(project, late):
    limits = {"timeout": 0.5, "max_attempts": 2}
    first = {"operator": "late-source", **limits} if late == "source" else {"operator": "count-up"}
    last = {"operator": "late-end", **limits} if late == "end" else {"operator": "keep"}
    done = project.run(project.pipeline({"first": first, "last": last}, "first.out -> last.in"))
    assert done.code == 1, done
    assert "it took longer than its limit of 0.5 s" in done.json["reason"]

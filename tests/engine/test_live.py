"""Parameters that change while a run goes on."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from interactem.engine import live
from interactem.engine.errors import EngineError
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime.assignment import Assignment
from interactem.spec import SpecError


def parameter(name, type, default, **more):
    return {"name": name, "label": name, "type": type, "default": default, "description": name, **more}


SPEC = {
    "id": "00000000-0000-4000-8000-000000000001",
    "image": "x",
    "label": "x",
    "description": "x",
    "parameters": [
        parameter("threshold", "float", 1.0, required=False),
        parameter("count", "int", 3, required=True),
        parameter("file", "mount", "/data", required=True),
        parameter("scans", "path", None, required=False),
        parameter("method", "str-enum", "fast", options=["fast", "good"], required=False),
    ],
}
PLAN = Plan(
    "r", "test", "process", (PlannedOperator("frames", "reader", "/", Assignment("r", 0, "frames")),), {"reader": SPEC}
)
PARAMETERS = PLAN.names.control(0, "parameters")


def test_values_are_typed_by_the_spec():
    typed = live.check_parameters(PLAN, {"frames": {"threshold": "2.5", "count": 4, "method": "good"}})
    assert typed == {"frames": {"threshold": 2.5, "count": 4, "method": "good"}}


def test_paths_are_where_the_rules_of_the_run_have_them():
    rule = {"source_path_format": "WINDOWS", "source_path": "Z:\\", "destination_path": "/scans"}
    plan = replace(PLAN, path_rules=json.dumps({"path_mapping_rules": [rule]}))
    assert live.check_parameters(plan, {"frames": {"scans": "z:/a"}}) == {"frames": {"scans": "/scans/a"}}
    assert live.check_parameters(plan, {"frames": {"scans": None}}) == {"frames": {"scans": None}}
    assert live.check_parameters(PLAN, {"frames": {"scans": "z:/a"}}) == {"frames": {"scans": "z:/a"}}


def test_everything_that_is_wrong_is_said_at_once():
    values = {
        "frame": {"count": 1},
        "frames": {"treshold": 1, "count": "many", "file": "/other", "method": "best", "threshold": 1},
    }
    with pytest.raises(SpecError) as error:
        live.check_parameters(PLAN, values)
    text = {problem.path: str(problem) for problem in error.value.problems}
    assert text.keys() == {"frame", "frames.treshold", "frames.count", "frames.file", "frames.method"}
    assert "frames" in text["frame"]
    assert "threshold" in text["frames.treshold"]
    assert "start a new run with --set" in text["frames.file"]
    assert "good" in text["frames.method"]


def test_what_is_not_given_stays_and_null_is_absent(shelf):
    shelf.stored[PARAMETERS] = json.dumps({"threshold": 1.0, "count": 3}).encode()
    given = {"frames": {"threshold": None, "method": "good"}}
    assert asyncio.run(live.set_parameters(shelf, PLAN, given)) == {"frames": {"count": 3, "method": "good"}}
    assert json.loads(shelf.stored[PARAMETERS]) == {"count": 3, "method": "good"}


def test_a_run_that_was_started_a_moment_ago_is_waited_for(shelf, monkeypatch):
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.0)
    left = [None, None, b'{"count": 3}']
    last_one = shelf.last_one

    async def appears(stream, subject):
        if left and (payload := left.pop(0)):
            shelf.stored[subject] = payload
        return await last_one(stream, subject)

    shelf.last_one = appears
    assert asyncio.run(live.set_parameters(shelf, PLAN, {"frames": {"count": 5}})) == {"frames": {"count": 5}}


def test_a_run_that_never_starts_is_given_up(shelf, monkeypatch):
    monkeypatch.setattr(live, "START_SECONDS", 0.0)
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.001)
    with pytest.raises(EngineError, match="run r has no parameters in its broker"):
        asyncio.run(live.set_parameters(shelf, PLAN, {"frames": {"count": 5}}))

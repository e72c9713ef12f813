"""Operators that wrap a command, in containers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.containers

_spec = importlib.util.spec_from_file_location("container_runs", Path(__file__).with_name("runs.py"))
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)


@pytest.fixture
def project(engine, tmp_path):
    made = shared.Project(tmp_path, engine)
    for name in ("count-up", "keep"):
        made.add(name)
    for name in ("wrapped", "answering"):
        made.add(name, whole=True)
    yield made
    made.close()


def chain(project, operator, count, **more):
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": count}},
        "work": {"operator": operator, **more},
        "keep": {"operator": "keep"},
    }
    return project.pipeline(operators, "numbers.out -> work.in", "work.out -> keep.in", name=operator)


@pytest.mark.parametrize("operator", ["wrapped", "answering"])
def test_a_run(project, operator):
    result = project.run(chain(project, operator, 20, replicas=2))
    assert result["state"] == "completed"
    assert project.kept() == shared.squares(20)
    assert project.nothing_is_left()
    assert not (project.folder / "run" / "work").exists()


def test_a_container_that_is_killed_and_a_folder_that_is_kept(project):
    file = project.folder / "operators" / "wrapped" / "operator.json"
    spec = json.loads(file.read_text())
    spec["command"]["keep_failed"] = True
    file.write_text(json.dumps(spec))
    project.build("wrapped")
    process = project.start(chain(project, "wrapped", 30, parameters={"fail_at": 3}, max_attempts=1))
    shared.wait_until(lambda: list((project.folder / "run" / "outputs").glob(".came-*")), "numbers to come through")
    [victim] = [name for name in project.containers() if "-work." in name]
    assert project.engine.command("kill", victim).returncode == 0
    result = shared.end(process, 1)
    assert (result["state"], result["dead"]) == ("completed", 1)
    assert project.kept() == shared.squares(30, without={3})
    [kept] = (project.folder / "run" / "work" / "work.0").glob("kept-*")
    assert list(kept.iterdir()) == []


def test_a_missing_program_ends_the_run_with_its_name(project):
    file = project.folder / "operators" / "answering" / "operator.json"
    spec = json.loads(file.read_text())
    spec["command"]["arguments"] = ["no-such-program"]
    file.write_text(json.dumps(spec))
    project.build("answering")
    result = project.run(chain(project, "answering", 3), code=1)
    assert "there is no program 'no-such-program' on the PATH" in result["reason"]

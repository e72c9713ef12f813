"""Detached runs in containers that lose their supervisor."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.containers


def _shared():
    spec = importlib.util.spec_from_file_location("container_runs", Path(__file__).with_name("runs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = _shared()
squares, wait_until = shared.squares, shared.wait_until
COUNT = 60


@pytest.fixture
def project(engine, tmp_path):
    made = shared.Project(tmp_path, engine)
    for name in ("count-up", "trouble", "keep"):
        # images of its own: whoever removes equal ones removes them for all
        run = (shared.ROOT / "tests" / "runs" / "operators" / name / "run.py").read_text()
        made.add(name, f"{run}\n# {tmp_path}\n")
    yield made
    made.close()


def start(project, unattended):
    """A run that has lost its supervisor while messages come through; the names of its containers."""
    project.environment["INTERACTEM_UNATTENDED_SECONDS"] = str(unattended)
    file = project.chain(COUNT, numbers={"rate": 0.5})
    place = project.folder / "run"
    project.do("pipeline", "run", file, "--launcher", project.engine.name, "--run-dir", place, "--detach")
    wait_until(lambda: list((place / "outputs").glob(".came-*")), "messages to come through")
    names = wait_until(lambda: len(found := project.containers()) == 4 and found, "all containers")
    os.kill(supervisor(project), signal.SIGKILL)
    return names


def supervisor(project):
    """The process id of the one that supervises, by what was written down of it."""
    (record,) = (project.folder / "cache" / "interactem" / "runs").glob("*.json")
    return shared.json.loads(record.read_text())["supervisor"]["pid"]


def test_containers_work_on_and_are_taken_over(project):
    names = start(project, unattended=600)
    project.engine.command("kill", names[0])
    project.do("pipeline", "attach", project.folder / "run", "--detach")
    project.do("pipeline", "set", project.folder / "run", "numbers.rate=1000")
    result = project.do("pipeline", "attach", project.folder / "run")
    assert result["state"] == "completed"
    assert project.kept() == squares(COUNT)
    assert project.nothing_is_left()
    started = [event["id"] for event in project.events("replica") if event["state"] == "starting"]
    assert len(started) == len(names) + 1, "none but the one that was killed"


def test_containers_end_by_themselves(project):
    start(project, unattended=0)
    assert project.nothing_is_left()
    project.do("pipeline", "set", project.folder / "run", "numbers.rate=1000")
    result = project.do("pipeline", "resume", project.folder / "run")
    assert result["state"] == "completed"
    assert project.kept() == squares(COUNT)

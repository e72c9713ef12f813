"""Code that changes while its containers run, and operators that are named by their images."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.containers


def _shared():
    spec = importlib.util.spec_from_file_location("container_runs", Path(__file__).with_name("runs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = _shared()


@pytest.fixture
def project(engine, tmp_path):
    made = shared.Project(tmp_path, engine)
    for name in ("count-up", "trouble", "keep"):
        made.add(name)
    yield made
    made.close()


def test_new_code_takes_over_and_a_mistake_does_not(project):
    count = 1000
    program = project.folder / "operators" / "trouble" / "run.py"
    good = program.read_text()
    running = project.start(project.chain(count, numbers={"rate": 50.0}), "--watch")
    shared.wait_until(lambda: any((project.folder / "run" / "outputs").glob(".came-*")), "something to come")

    def save(text):
        new = program.with_name("run.py~")
        new.write_text(text)
        os.replace(new, program)

    def code(state):
        return [event for event in project.events("code") if event["state"] == state]

    save(good.replace("number**2", "number***2"))
    [refused] = shared.wait_until(lambda: code("refused"), "the mistake to be found")
    assert refused["error"].startswith(f"{program}, line ")
    save(good.replace("number**2", "number**3"))
    shared.wait_until(lambda: code("changed"), "the new code to be taken")
    result = shared.end(running)
    assert result["state"] == "completed"
    kept = project.kept()
    assert [number for number, *_ in kept] == list(range(count))
    assert {times for *_, times in kept} == {1}
    assert {square - number**2 for number, square, *_ in kept[:5]} == {0}
    assert {cube - number**3 for number, cube, *_ in kept[-5:]} == {0}
    assert project.nothing_is_left()


def test_an_operator_may_be_named_by_its_image(project):
    labelled, bare = f"{shared.PREFIX}/labelled", f"{shared.PREFIX}/trouble"
    spec = (project.folder / "operators" / "trouble" / "operator.json").read_text()
    file = project.folder / "Containerfile"
    file.write_text(f"FROM {bare}\n")
    label = f"interactem.operator.spec={json.dumps(json.loads(spec))}"
    words = ("build", "-q", "-t", labelled, "--label", label, "-f", str(file), str(project.folder / "operators"))
    done = project.engine.command(*words)
    assert done.returncode == 0, done.stderr
    project.images.append(done.stdout.strip())

    def pipeline(image):
        chain = json.loads(project.chain(20).read_text())
        chain["operators"]["trouble"] = {"image": image, "replicas": 2}
        path = project.folder / "named.json"
        path.write_text(json.dumps(chain))
        return path

    result = project.run(pipeline(labelled))
    assert (result["state"], result["operators"]["trouble"]["replicas"]) == ("completed", 2)
    assert project.kept() == shared.squares(20)
    assert project.plan()["images"][labelled]["name"] == labelled
    failure = project.run(pipeline(bare), folder="second", code=2)
    assert "has no label interactem.operator.spec" in failure["problems"][0]
    failure = project.do("pipeline", "run", pipeline(labelled), code=2)  # as a process
    assert "give --launcher podman" in failure["problems"][0]
    assert not (project.folder / "second").exists()

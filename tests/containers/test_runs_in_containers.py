"""Runs in containers, as their users see them."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from interactem.engine.images.baking import Bakery
from interactem.engine.images.projects import Project as Baked

pytestmark = pytest.mark.containers


def _shared():
    spec = importlib.util.spec_from_file_location("container_runs", Path(__file__).with_name("runs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = _shared()
ROOT, WAIT, end, killing, squares, wait_until = (
    getattr(shared, name) for name in ("ROOT", "WAIT", "end", "killing", "squares", "wait_until")
)
MEMORY_EATER = """
import time
from interactem.runtime import operator

@operator
def eat(inputs, parameters):
    if inputs.meta["number"] == 3:
        eaten = bytearray(2**29)
        for at in range(0, len(eaten), 4096):
            eaten[at] = 1
    return inputs
"""


@pytest.fixture
def project(engine, tmp_path):
    made = shared.Project(tmp_path, engine)
    for name in ("count-up", "trouble", "keep"):
        made.add(name)
    yield made
    made.close()


def test_a_run_from_its_beginning_to_its_end(project):
    result = project.run(project.chain())
    assert result["state"] == "completed"
    assert project.kept() == squares(50)
    assert project.nothing_is_left()
    started = {event["id"] for event in project.events("replica") if event["state"] == "starting"}
    run = result["run"]
    names = {"numbers.0", "trouble.0", "trouble.1", "keep.0"}
    assert started == {f"interactem-{run}-{name}" for name in names}
    plan = project.plan()
    assert plan["launcher"] == project.engine.name
    assert plan["images"]["trouble"]["name"] == f"{shared.PREFIX}/trouble"
    assert plan["images"]["trouble"]["id"].startswith("sha256:")
    (engine,) = project.events("engine")
    assert engine["engine"] == project.engine.name


def test_large_messages_in_shared_memory(project):
    """Each container has its own arena, and sees those that it reads from; the sender's limit of memory is raised."""
    for name in ("panes", "look"):
        project.add(name)
    operators = {
        "panes": {"operator": "panes", "parameters": {"count": 60}, "resources": {"memory": "100 MiB"}},
        "look": {"operator": "look", "replicas": 2, "parameters": {"fails": 3}},
        "keep": {"operator": "keep"},
    }
    result = project.run(project.pipeline(operators, "panes.out -> look.in", "look.out -> keep.in"))
    assert project.kept() == [[number, [number], 400_000, 1] for number in range(60)]
    assert not project.events("shm")
    arenas = {one["key"]: one["assignment"]["arena"] for one in project.plan()["operators"]}
    assert arenas["panes"] == 100 * 2**20 and arenas["look"] > 0
    assert not Path(f"/dev/shm/interactem-{result['run']}").exists()
    assert project.nothing_is_left()


@pytest.mark.parametrize("mode", ["segfault", "hang"])
def test_a_kernel_in_trouble_costs_attempts_and_nothing_else(project, mode):
    """The crash slot is a mapped file: also what a container was at when it died is known."""
    trouble = {"mode": mode, "every": 20, "attempts": 1}
    project.run(project.chain(40, trouble=trouble, timeout=2))
    assert project.kept() == squares(40)
    failures = [event for event in project.events("failure") if event["operator"] == "trouble"]
    assert {event.get("message", event.get("id")) for event in failures} == {"numbers.0", "numbers.20"}
    said = {"segfault": "SIGSEGV", "hang": "TimeoutError: the kernel took longer than its limit"}
    assert all(said[mode] in event["error"] for event in failures)
    assert project.nothing_is_left()


def test_code_that_does_not_load_fails_the_run_soon_and_says_why(project):
    project.add("trouble", "import nothing_of_that_name\n")
    begun = time.monotonic()
    result = project.run(project.chain(), code=1)
    assert time.monotonic() - begun < 60
    assert result["state"] == "failed"
    assert "its run.py does not load" in result["reason"]
    assert "No module named 'nothing_of_that_name'" in result["reason"]
    assert project.nothing_is_left()


def test_one_killed_for_memory_says_so_and_its_message_is_to_blame(project):
    if project.engine.name == "docker" and "WARNING: No memory limit" in project.engine.command("info").stderr:
        pytest.skip("this machine cannot limit memory")
    project.add("trouble", MEMORY_EATER)
    file = project.chain(8, resources={"memory": "128 MiB"}, max_attempts=2)
    result = project.run(file, "--allow-dead")
    assert result["dead"] == 1
    deaths = [event for event in project.events("replica") if event["state"] == "failed"]
    assert {event["reason"] for event in deaths} == {"killed: out of memory"}
    assert [number for number, *_ in project.kept()] == [0, 1, 2, 4, 5, 6, 7]


def test_killed_in_turn_and_its_supervisor_too_a_run_gives_what_it_gives(project):
    """And whoever resumes it at once removes first what is left of it."""
    file = project.chain(400, numbers={"rate": 50.0})
    running = project.start(file)
    with killing(project, 1.0) as killed:
        wait_until(lambda: len(killed) >= 3, "three kills")
        running.kill()
        running.communicate()
        result = end(project.command("pipeline", "resume", project.folder / "run", "--json"))
    assert result["state"] == "completed"
    assert project.kept() == squares(400)
    assert project.nothing_is_left()


def test_interrupted_it_drains_and_can_be_resumed(project):
    running = project.start(project.chain(500, numbers={"rate": 20.0}))
    wait_until(lambda: any((project.folder / "run" / "outputs").glob(".came-*")), "something to come")
    running.send_signal(signal.SIGINT)
    assert end(running, 130)["state"] == "stopped"
    assert project.nothing_is_left()
    resumed = project.do("pipeline", "resume", project.folder / "run")
    assert resumed["state"] == "completed"
    assert project.kept() == squares(500)


def test_detached_it_goes_on_and_stops_when_told(project):
    begun = project.run(project.chain(10_000, numbers={"rate": 10.0}), "--detach")
    wait_until(lambda: len(project.containers()) == 4, "four containers")
    (listed,) = [each for each in project.do("pipeline", "ps") if each["run"] == begun["run"]]
    assert listed["state"] == "running"
    assert project.do("pipeline", "stop", begun["run"])["state"] == "stopped"
    assert project.nothing_is_left()


def test_locked_a_run_is_of_the_very_same_images(project):
    file = project.chain(5)
    project.run(file, folder="first")
    changed = (project.folder / "operators" / "trouble" / "run.py").read_text().replace("number**2", "number**3")
    project.add("trouble", changed)
    project.run(file, folder="second")
    assert [square for _, square, *_ in project.kept("second")] == [0, 1, 8, 27, 64]
    project.run(file, "--locked", project.folder / "first" / "plan.json", folder="third")
    assert project.kept("third") == project.kept("first") == squares(5)
    assert project.plan("third")["images"] == project.plan("first")["images"]


def test_what_is_published_in_a_container_is_found_outside(project):
    text = (project.folder / "operators" / "trouble" / "run.py").read_text()
    publishing = (
        "    context.publish_table('numbers', [{'number': number}])\n    context.publish_image('dots', [[0, number]])\n"
    )
    project.add("trouble", text.replace("    meta = {", publishing + "    meta = {"))
    project.run(project.chain(5))
    published = project.do("pipeline", "status", project.folder / "run")["published"]
    names = [str(Path(path).relative_to(project.folder / "run" / "outputs" / "published")) for path in published]
    replicas = {name.split("/")[0] for name in names}
    assert replicas and replicas <= {"trouble.0", "trouble.1"}
    assert sorted(names) == sorted(f"{replica}/{file}" for replica in replicas for file in ("dots.png", "numbers.csv"))
    assert any(Path(path).read_bytes().startswith(b"\x89PNG") for path in published)


def test_nobody_finds_a_secret_with_inspect(project):
    running = project.start(project.chain(1000, numbers={"rate": 10.0}))
    wait_until(lambda: len(project.containers()) == 4, "four containers")
    names = project.containers()
    shown = project.engine.command("inspect", *names).stdout
    mounts = [mount for each in json.loads(shown) for mount in each["Mounts"]]
    secrets = {Path(m["Source"]) for m in mounts if m["Destination"] == "/interactem/credentials.json"}
    assert len(secrets) == len(names), "a user for each"
    for secret in secrets:
        assert secret.stat().st_mode & 0o077 == 0
        assert json.loads(secret.read_text())["password"] not in shown
    running.send_signal(signal.SIGINT)
    end(running, 130)
    assert not any(secret.exists() for secret in secrets)


def test_a_missing_image_starts_nothing(project):
    spec = project.folder / "operators" / "trouble" / "operator.json"
    spec.write_text(spec.read_text().replace(f"{shared.PREFIX}/trouble", "localhost:9/nothing/here"))
    said = project.run(project.chain(), code=1)
    assert "trouble: its image localhost:9/nothing/here is not in" in said["error"]
    assert "its registry localhost:9 cannot be reached" in said["error"]
    assert not (project.folder / "run").exists()


def test_without_an_engine_nothing_starts(project):
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        project.environment[name] = f"unix://{project.folder}/no.sock"
    said = project.run(project.chain(), code=1)
    assert "no.sock, and there is no socket" in said["error"]
    assert not (project.folder / "run").exists()


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """The maps of the main pipeline, run undisturbed as processes."""
    project = shared.Project(tmp_path_factory.mktemp("maps"), None)
    place = project.folder / "run"
    end(project.command("pipeline", "run", ROOT / "pipelines" / "center-of-mass.json", "--run-dir", place, "--json"))
    return (place / "outputs" / "center-of-mass.npy").read_bytes()


@pytest.fixture
def baked(engine):
    """The operators of the main pipeline in the engine."""
    pipeline = json.loads((ROOT / "pipelines" / "center-of-mass.json").read_text())
    selection = Baked.open(ROOT, offline=True).select({each["operator"] for each in pipeline["operators"].values()})
    outcomes = Bakery(selection.plan, engine.builder, selection.asked).bake()
    assert not [outcome.reason for outcome in outcomes if not outcome.ok]
    return engine


@pytest.mark.slow
def test_the_maps_are_bit_for_bit_those_of_processes(baked, maps, tmp_path):
    """Although replicas are killed at random all the time."""
    project = shared.Project(tmp_path, baked)
    running = project.start(ROOT / "pipelines" / "center-of-mass.json", "--replicas", "partial=2")
    wait_until(lambda: len(project.containers()) == 8, "eight containers")
    assert sum("-partial." in name for name in project.containers()) == 2
    with killing(project, 2.0):
        result = end(running)
    assert result["state"] == "completed"
    assert (tmp_path / "run" / "outputs" / "center-of-mass.npy").read_bytes() == maps
    assert np.load(tmp_path / "run" / "outputs" / "center-of-mass.npy").shape[0] == 2
    assert project.nothing_is_left()
    assert os.listdir(tmp_path / "run" / "logs")

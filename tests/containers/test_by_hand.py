"""A replica that a person starts, as docs/containers.md says."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from interactem.engine.broker import server_program

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.containers

TELLS_WHO = """
import time
from interactem.runtime import BytesMessage, MessageHeader, operator

@operator
def trouble(inputs, parameters, context):
    time.sleep(0.02)
    meta = {"number": inputs.meta["number"], "square": context.replica}
    return BytesMessage(MessageHeader(meta=meta), inputs.data)
"""


def _shared():
    spec = importlib.util.spec_from_file_location("container_runs", Path(__file__).with_name("runs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = _shared()


@pytest.fixture
def project(engine, tmp_path):
    made = shared.Project(tmp_path, engine)
    made.add("count-up")
    made.add("keep")
    made.add("trouble", TELLS_WHO)
    yield made
    made.close()


@pytest.fixture
def broker(tmp_path):
    """The address of a server that is nobody's run's."""
    ports = tmp_path / "ports"
    ports.mkdir()
    words = [str(server_program()), "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(tmp_path / "store")]
    process = subprocess.Popen([*words, "--ports_file_dir", str(ports)], stderr=subprocess.DEVNULL)
    try:
        (file,) = shared.wait_until(lambda: [each for each in ports.glob("*.ports") if each.read_text()], "the server")
        yield json.loads(file.read_text())["nats"][0]
    finally:
        process.kill()
        process.wait()


def documented(engine, **values):
    """The page's command, with other values."""
    (block,) = re.findall(r"^```sh\n(podman run.*?)^```", (ROOT / "docs" / "containers.md").read_text(), re.M | re.S)
    words = shlex.split(block.replace("\\\n", " "))
    assert words[0] == "podman"
    words[0] = engine.name
    words[-1] = values.pop("image")
    given = {word.partition("=")[0] for word in words if word.startswith("INTERACTEM_")}
    assert given == {f"INTERACTEM_{name}" for name in values}
    return [
        re.sub(r"^INTERACTEM_(\w+)=.*", lambda m: f"{m[0].partition('=')[0]}={values[m[1]]}", word) for word in words
    ]


def test_one_replica_more_joins_a_run(project, broker):
    count = 800
    running = project.start(project.chain(count, numbers={"rate": 50.0}), "--broker", broker, "--no-shm")
    shared.wait_until(lambda: any((project.folder / "run" / "outputs").glob(".came-*")), "something to come")
    plan = project.plan()
    (number,) = (each["assignment"]["operator"] for each in plan["operators"] if each["key"] == "trouble")
    command = documented(
        project.engine, BROKER=broker, RUN=plan["run"], OPERATOR=number, REPLICA=7, image=f"{shared.PREFIX}/trouble"
    )
    joined = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert joined.returncode == 0, joined.stdout + joined.stderr
    assert shared.end(running)["state"] == "completed"
    kept = project.kept()
    assert [number for number, *_ in kept] == list(range(count))
    assert {times for *_, times in kept} == {1}
    assert {replica for _, replica, *_ in kept} == {0, 1, 7}

"""Baking with real engines."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from interactem.cli.main import run
from interactem.engine.images import labels
from interactem.engine.images.errors import RegistryError
from interactem.engine.images.names import LOCAL_REGISTRY
from interactem.engine.images.podman import PodmanBuilder
from interactem.engine.images.registry import speaks_plainly
from interactem.runtime.assignment import VERSION

pytestmark = pytest.mark.containers

PREFIX = f"ghcr.io/interactem-tests-{os.getpid()}"
"""No registry has such images: whatever is looked for outside is not found."""
PUBLISHED = "FROM ghcr.io/nersc/interactem/distiller-streaming\nCOPY ./run.py /app/run.py\n"


class Kitchen:
    """A project with operators, and an engine to bake them with."""

    def __init__(self, folder, engine, capsys):
        self.folder = folder
        self.engine = engine
        self.capsys = capsys

    def add(self, name, containerfile, run="print('first')\n"):
        folder = self.folder / "operators" / name
        folder.mkdir(parents=True)
        spec = {
            "id": str(uuid.uuid4()),
            "image": f"{PREFIX}/{folder.name}",
            "label": folder.name,
            "description": 'with "quotes", ${dollars} and\na second line',
            "outputs": [{"name": "out", "label": "Out", "type": "frame", "description": ""}],
        }
        (folder / "operator.json").write_text(json.dumps(spec))
        (folder / "Containerfile").write_text(containerfile)
        (folder / "run.py").write_text(run)
        return folder

    def bake(self, *arguments, code=0):
        ended = run(["operator", "build", "--engine", self.engine.name, "--json", *arguments])
        document = json.loads(self.capsys.readouterr().out)
        assert ended == code, [
            one.get("reason") for done in document.values() if isinstance(done, list) for one in done
        ]
        return document

    def states(self, *arguments, code=0):
        return {one["name"]: one["state"] for one in self.bake(*arguments, code=code)["built"]}

    def inspect(self, name, engine=None):
        done = subprocess.run(
            [engine or self.engine.name, "image", "inspect", f"{PREFIX}/{name}"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)[0]

    def files(self, name):
        """What is in an image, which need not be able to run anything."""
        container = self.engine.command("create", f"{PREFIX}/{name}", "nothing").stdout.strip()
        done = subprocess.run([self.engine.name, "export", container], capture_output=True, check=True)
        self.engine.command("rm", container)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            return {member.name for member in archive if member.isfile()}

    def clear(self):
        for engine in filter(shutil.which, ("docker", "podman")):
            listed = subprocess.run(
                [engine, "image", "ls", "--format", "{{.Repository}}"], capture_output=True, text=True
            ).stdout.split()
            if ours := sorted({name for name in listed if PREFIX in name}):
                subprocess.run([engine, "image", "rm", "--force", *ours], capture_output=True)


@pytest.fixture
def kitchen(tmp_path, monkeypatch, capsys, engine):
    made = Kitchen(tmp_path, engine, capsys)
    monkeypatch.chdir(tmp_path)
    yield made
    made.clear()


def test_what_builds_on_one_another_and_what_has_changed(kitchen):
    kitchen.add("child", f"FROM {PREFIX}/parent:latest\nCOPY ./run.py /app/run.py\n")
    kitchen.add("deep/down/parent", "FROM scratch\nCOPY ./run.py /parent.py\n")
    assert kitchen.states() == {"parent": "built", "child": "built"}
    assert kitchen.states() == {"parent": "unchanged", "child": "unchanged"}
    first = kitchen.inspect("child")["RootFS"]["Layers"]
    assert first[:-1] == kitchen.inspect("parent")["RootFS"]["Layers"]

    (kitchen.folder / "operators" / "child" / "run.py").write_text("print('second')\n")
    assert kitchen.states() == {"parent": "unchanged", "child": "built"}
    second = kitchen.inspect("child")["RootFS"]["Layers"]
    assert second[:-1] == first[:-1] and second[-1] != first[-1]  # an edit costs one layer

    (kitchen.folder / "operators" / "deep" / "down" / "parent" / "run.py").write_text("print('second')\n")
    assert kitchen.states("--target", "child") == {"parent": "built", "child": "built"}


def test_the_spec_is_read_from_the_label(kitchen):
    folder = kitchen.add("labelled", "FROM scratch\nCOPY run.py /\n")
    (outcome,) = kitchen.bake()["built"]
    assert outcome["size"] > 0 and outcome["id"].startswith("sha256:")
    assert run(["operator", "ls", "--images", "--engine", kitchen.engine.name, "--json"]) == 0
    listed = json.loads(kitchen.capsys.readouterr().out)
    (found,) = [image for image in listed if image["image"] == f"{PREFIX}/labelled:latest"]
    assert found["id"] == outcome["id"]
    spec = json.loads((folder / "operator.json").read_text())
    assert found["spec"]["id"] == spec["id"]
    assert found["spec"]["description"] == spec["description"]
    assert found["spec"]["outputs"][0]["type"] == "frame"


def test_what_is_ignored_is_neither_hashed_nor_in_the_image(kitchen):
    folder = kitchen.add("ignoring", "FROM scratch\nCOPY . /app/\n")
    (folder / ".containerignore").write_text("*.npy\n!kept.npy\n")
    for name in ("large.npy", "kept.npy"):
        (folder / name).write_text("1")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "run.pyc").touch()
    kitchen.states()
    files = {name for name in kitchen.files("ignoring") if name.startswith("app/")}
    assert {"app/run.py", "app/kept.npy", "app/operator.json"} <= files
    assert not files & {"app/large.npy", "app/__pycache__/run.pyc"}
    (folder / "large.npy").write_text("2")
    (folder / "__pycache__" / "run.pyc").write_text("2")
    assert kitchen.states() == {"ignoring": "unchanged"}


def test_a_published_containerfile_builds_unchanged_and_runs(kitchen):
    kitchen.add("published", PUBLISHED)
    kitchen.add("bare", "FROM distiller-streaming\nCOPY ./run.py /app/run.py\n")
    states = kitchen.states()
    assert {states["published"], states["bare"]} == {"built"}
    for name in ("published", "bare"):
        made = kitchen.inspect(name)
        assert made["Config"]["Labels"][labels.SPEC]
        assert made["Config"]["Labels"][labels.ASSIGNMENTS] == str(VERSION), "which it has from its base image"
        said = kitchen.engine.run(
            f"{PREFIX}/{name}", "python", "-c", "import distiller_streaming, sys; print(open('run.py').read())"
        )
        assert said == "print('first')"


def test_a_containerfile_that_fails(kitchen):
    kitchen.add("bad", "FROM operator\nCOPY run.py /app/\nRUN echo said before; exit 3\n")
    kitchen.add("worse", "FROM scratch\nCOPY nosuch.py /\n")
    kitchen.add("on-bad", f"FROM {PREFIX}/bad\nCOPY run.py /\n")
    kitchen.add("good", "FROM scratch\nCOPY run.py /\n")
    built = {one["name"]: one for one in kitchen.bake(code=1)["built"]}
    states = {name: one["state"] for name, one in built.items() if name in ("bad", "worse", "on-bad", "good")}
    assert states == {"bad": "failed", "worse": "failed", "on-bad": "skipped", "good": "built"}
    lines = built["bad"]["reason"].splitlines()
    assert "RUN echo said before; exit 3" in lines[0]
    assert "    said before" in lines
    assert "nosuch.py" in built["worse"]["reason"]


def test_an_image_that_nobody_has(kitchen):
    kitchen.add("lost", f"FROM {PREFIX}/nobody-has-this\nCOPY run.py /\n")
    reason = kitchen.bake(code=1)["built"][0]["reason"]
    assert reason.startswith(f"{PREFIX}/nobody-has-this cannot be pulled")


@pytest.fixture
def registry():
    try:
        speaks_plainly(LOCAL_REGISTRY)
    except RegistryError as error:
        pytest.skip(str(error))


def test_pushed_to_the_local_registry_and_pulled_into_podman(kitchen, registry):
    if shutil.which("podman") is None:
        pytest.skip("there is no podman to pull into")
    kitchen.add("parent", "FROM scratch\nCOPY run.py /\n")
    kitchen.add("moving", f"FROM {PREFIX}/parent\nCOPY ./run.py /app/run.py\n")
    document = kitchen.bake("--push-local", "--pull-local", "--target", "moving")
    assert {one["name"]: one["state"] for one in document["pushed"]} == {"parent": "pushed", "moving": "pushed"}
    assert {one["name"]: one["state"] for one in document["pulled"]} == {"parent": "pulled", "moving": "pulled"}
    pushed = {one["name"]: one["digest"] for one in document["pushed"]}
    if kitchen.engine.name == "docker":  # what podman has built itself keeps the digest that it had before
        assert pushed == {one["name"]: one["digest"] for one in document["pulled"]}
    pulled = kitchen.inspect("moving", "podman")
    assert pulled["Config"]["Labels"][labels.SPEC] == kitchen.inspect("moving")["Config"]["Labels"][labels.SPEC]
    every = [name for image in PodmanBuilder().labelled(labels.SPEC) for name in image.names]
    assert f"{PREFIX}/moving:latest" in every
    assert not [name for name in every if name.startswith(LOCAL_REGISTRY) and PREFIX in name]
    for name, digest in pushed.items():
        forget(name, digest)


def forget(name, digest):
    request = urllib.request.Request(f"http://{LOCAL_REGISTRY}/v2/{PREFIX}/{name}/manifests/{digest}", method="DELETE")
    with suppress(urllib.error.HTTPError):  # a registry may be set up to forget nothing
        urllib.request.urlopen(request).close()


def test_what_is_not_built_cannot_be_pushed(kitchen, registry):
    kitchen.add("absent", "FROM scratch\nCOPY run.py /\n")
    assert run(["operator", "push", "--engine", kitchen.engine.name]) == 1
    assert "build it: interactem operator build absent" in kitchen.capsys.readouterr().err


def test_an_interruption_leaves_nothing_running(kitchen, tmp_path):
    word = f"interruption-{uuid.uuid4().hex}"
    for name in ("one", "two"):
        kitchen.add(name, f"FROM operator\nRUN echo {word}-{name}; sleep 600 && echo {word}\n")
    program = Path(sys.executable).with_name("interactem")
    with subprocess.Popen(
        [program, "operator", "build", "--engine", kitchen.engine.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        until(lambda: len(running(f"{word}-one")) and len(running(f"{word}-two")))
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
    assert process.returncode == 130, said
    until(lambda: not running(word))
    if kitchen.engine.name == "podman":
        assert not [note for note in notes_of_builds() if word in note]


def running(word):
    """The processes in whose command line a word stands, which reads of no command that looks for it."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                if word in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
    return found


def until(holds, seconds=120):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def notes_of_builds():
    place = subprocess.run(
        ["podman", "info", "--format", "{{.Store.GraphRoot}}/{{.Store.GraphDriverName}}-containers"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    return [path.read_text(errors="replace") for path in Path(place).glob("*/userdata/buildah.json")]


@pytest.mark.parametrize("engine", ["docker"], indirect=True)
def test_docker_bake_reads_and_builds_what_is_made_from_the_folders(kitchen):
    folder = kitchen.add("baked", "FROM scratch\nCOPY run.py /\n")
    (kitchen.folder / "docker-bake.hcl").touch()
    kitchen.states()
    kitchen.engine.command("image", "rm", f"{PREFIX}/baked")
    printed = json.loads(kitchen.engine.command("buildx", "bake", "--print").stdout)
    spec = labels.decode_spec(printed["target"]["baked"]["labels"][labels.SPEC], "baked")
    assert spec.description == json.loads((folder / "operator.json").read_text())["description"]
    done = kitchen.engine.command("buildx", "bake", "baked")
    assert done.returncode == 0, done.stderr
    label = kitchen.inspect("baked")["Config"]["Labels"][labels.SPEC]
    assert labels.decode_spec(label, "baked") == spec
    committed = Path(__file__).parents[2] / "docker-bake.hcl"
    assert kitchen.engine.command("buildx", "bake", "--file", str(committed), "--print").returncode == 0

"""Baking, with an engine whose builds are shell commands: the order, what is skipped, what fails, what is ended."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
import uuid

import pytest

from interactem.engine.images.baking import Bakery
from interactem.engine.images.builders import EngineImage, Step
from interactem.engine.images.commands import Cancelled, Commands
from interactem.engine.images.errors import BuildError
from interactem.engine.images.projects import Project
from interactem.engine.images.scheduling import work_off


class ShellBuilder:
    """Has images in a dictionary; a build runs the first line of the Containerfile that begins with `RUN`."""

    name = "podman"
    environment: dict[str, str] = {}  # noqa: RUF012

    def __init__(self):
        self.has = {}
        self.built = []
        self.pulled = []

    def check(self):
        pass

    def images(self, names):
        return {name: self.has[name] for name in names if name in self.has}

    def build_command(self, build):
        name = build.images[0].rpartition("/")[2]
        self.built.append(name)
        lines = build.containerfile.read_text().splitlines()
        made_from = dict(re.findall(r'"(interactem\.inputs)"="(\w+)"', lines[-1]))
        image = EngineImage(f"sha256:{uuid.uuid4().hex}", tuple(build.images), made_from, size=1)
        self.has |= dict.fromkeys(build.images, image)
        run = next((line.removeprefix("RUN ") for line in lines if line.startswith("RUN ")), "true")
        return ["sh", "-c", f"echo STEP {name}; printf {image.id} > {build.id_file}; {run}"]

    def build_environment(self, build):
        return {}

    def pull_command(self, image, *, insecure=False):
        self.pulled.append(image)
        if "missing" in image:
            return ["sh", "-c", f"echo {image}: manifest unknown; exit 1"]
        self.has[image] = EngineImage(f"sha256:{image}", (image,))
        return ["true"]

    def tag_commands(self, image, names):
        found = next(each for each in self.has.values() if each.id == image)
        self.has |= dict.fromkeys(names, found)
        return [["true"]]

    def halt(self, build):
        return False

    def abandon(self, build):
        self.abandoned = build

    def step(self, line):
        return line.removeprefix("STEP ") if line.startswith("STEP") else None

    def stumbled(self, lines):
        return "image not known" in lines

    def failing_step(self, lines):
        return Step("the step", [line for line in lines if not line.startswith("STEP")])


@pytest.fixture
def add(tmp_path):
    def add(name, containerfile, *, bases=False):
        folder = tmp_path / ("base-images" if bases else "operators") / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Containerfile").write_text(containerfile)
        if not bases:
            spec = {
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
                "image": f"ghcr.io/tests/{name}",
                "label": name,
                "description": "",
            }
            (folder / "operator.json").write_text(json.dumps(spec))
            (folder / "run.py").touch()
        return folder

    return add


@pytest.fixture
def bake(tmp_path):
    builder = ShellBuilder()

    def bake(*names, bases=False, **options):
        selection = Project.open(tmp_path).select(names, bases=bases)
        bakery = Bakery(selection.plan, builder, selection.asked, **options)
        outcomes = {outcome.name: outcome for outcome in bakery.bake()}
        built, builder.built[:] = list(builder.built), []
        return outcomes, built

    bake.builder = builder
    bake.foresee = lambda *names: {
        target.name: verdict
        for selection in [Project.open(tmp_path).select(names)]
        for target, verdict in Bakery(selection.plan, builder, selection.asked).foresee()
    }
    return bake


def states(outcomes):
    return {name: outcome.state for name, outcome in outcomes.items()}


def test_what_has_not_changed_is_not_built_again(add, bake):
    add("parent", "FROM scratch\n")
    folder = add("child", "FROM ghcr.io/tests/parent\n")
    outcomes, built = bake()
    assert built == ["parent", "child"]
    assert states(outcomes) == {"parent": "built", "child": "built"}
    assert outcomes["child"].id == bake.builder.has["ghcr.io/tests/child"].id
    assert outcomes["child"].size == 1
    outcomes, built = bake()
    assert built == [] and states(outcomes) == {"parent": "unchanged", "child": "unchanged"}
    (folder / "run.py").write_text("# changed\n")
    assert bake.foresee()["child"].reason == "its inputs have changed"
    outcomes, built = bake()
    assert built == ["child"] and states(outcomes) == {"parent": "unchanged", "child": "built"}


def test_who_builds_on_what_is_built_anew_is_too(add, bake):
    add("parent", "FROM scratch\n")
    add("child", "FROM ghcr.io/tests/parent\n")
    bake()
    add("parent", "FROM scratch\n# changed\n")
    assert bake.foresee()["child"].reason == "it builds on parent"
    assert bake()[1] == ["parent", "child"]


def test_an_image_that_others_have_made_is_replaced(add, bake):
    add("a", "FROM scratch\n")
    bake.builder.has["ghcr.io/tests/a"] = EngineImage("sha256:theirs", ("ghcr.io/tests/a",))
    outcomes, built = bake()
    assert built == ["a"] and outcomes["a"].reason == "the image was not baked here"


def test_names_that_an_image_lost_come_back_without_a_build(add, bake):
    add("library", "FROM scratch\n", bases=True)
    add("a", "FROM library\n")
    bake()
    del bake.builder.has["library"]
    assert bake()[1] == []
    assert bake.builder.has["library"] == bake.builder.has["ghcr.io/nersc/interactem/library"]


def test_base_images_are_built_when_they_are_missing_or_wanted(add, bake):
    add("library", "FROM scratch\n", bases=True)
    add("a", "FROM library\n")
    assert bake()[1] == ["library", "a"]
    add("library", "FROM scratch\n# changed\n", bases=True)
    assert bake()[1] == []
    assert bake.foresee()["library"].reason == "it is there"
    assert bake(bases=True)[1] == ["library", "a"]


def test_base_images_that_are_older_than_their_folders_are_told(add, bake, tmp_path):
    add("python", "FROM scratch\n", bases=True)
    add("library", "FROM ghcr.io/nersc/interactem/python\n", bases=True)
    add("a", "FROM library\n")
    bake()
    assert bake()[0]["library"].reason == "it is there"
    made_offline = Project.open(tmp_path, offline=True).select(bases=True)
    Bakery(made_offline.plan, bake.builder, made_offline.asked).bake()
    assert bake()[0]["library"].reason == "it is there"  # made in another way, and as new
    add("library", "FROM ghcr.io/nersc/interactem/python\n# changed\n", bases=True)
    outcomes, built = bake()
    assert (outcomes["library"].reason, built) == ("it is there, but older than its folder", [])


def test_what_lies_below_an_image_that_is_there_is_not_looked_for(add, bake):
    add("python", "FROM missing/python\n", bases=True)
    add("library", "FROM ghcr.io/nersc/interactem/python\n", bases=True)
    add("a", "FROM library\n")
    there = EngineImage("sha256:library", ("library",))
    bake.builder.has |= {"library": there, "ghcr.io/nersc/interactem/library": there}
    outcomes, built = bake()
    assert built == ["a"] and states(outcomes) == {"library": "unchanged", "a": "built"}
    assert bake.builder.pulled == []


def test_what_nobody_bakes_is_pulled_once(add, bake):
    add("a", "FROM python:3\n")
    add("b", "FROM python:3\n")
    assert sorted(bake()[1]) == ["a", "b"]
    assert bake.builder.pulled == ["python:3"]
    assert bake()[1] == []
    bake.builder.has["python:3"] = EngineImage("sha256:newer", ("python:3",))
    assert sorted(bake()[1]) == ["a", "b"]


def test_a_failure_is_told_with_its_step_and_last_lines_and_the_others_go_on(add, bake):
    add("bad", "FROM scratch\nRUN seq 1 30; echo the reason; exit 3\n")
    add("on-bad", "FROM ghcr.io/tests/bad\n")
    add("on-on-bad", "FROM ghcr.io/tests/on-bad\n")
    add("no-base", "FROM missing/image\n")
    add("good", "FROM scratch\n")
    outcomes, _ = bake()
    assert states(outcomes) == {
        "bad": "failed",
        "good": "built",
        "no-base": "failed",
        "on-bad": "skipped",
        "on-on-bad": "skipped",
    }
    lines = outcomes["bad"].reason.splitlines()
    assert lines[0] == "the step" and lines[-1] == "    the reason" and lines[1] == "    20"
    assert outcomes["on-on-bad"].reason == "it builds on on-bad, which failed"
    assert outcomes["no-base"].reason.splitlines() == [
        "missing/image cannot be pulled",
        "    missing/image: manifest unknown",
        "there is no such image: check its name and tag, also in the Containerfile's FROM",
    ]


def test_a_full_disk_says_what_to_do(add, bake):
    add("a", "FROM scratch\nRUN echo write /x: no space left on device; exit 1\n")
    assert "the disk is full: see podman system df" in bake()[0]["a"].reason


def test_a_build_that_stumbles_over_somebody_elses_removal_is_tried_again_once(add, bake, tmp_path):
    stumble = f"if test -e {tmp_path}/$name; then exit 0; fi; touch {tmp_path}/$name; echo image not known; exit 1"
    add("once", f"FROM scratch\nRUN name=once; {stumble}\n")
    add("always", "FROM scratch\nRUN echo image not known; exit 1\n")
    assert states(bake()[0]) == {"always": "failed", "once": "built"}


def test_of_a_long_line_both_ends_are_shown(add, bake):
    add("a", "FROM scratch\nRUN printf 'begin %01000d end\\n' 0; exit 1\n")
    line = bake()[0]["a"].reason.splitlines()[1]
    assert line.startswith("    begin 000") and line.endswith("000 end") and len(line) < 260


def test_no_room_for_temporary_files(add, bake, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    add("a", "FROM scratch\n")
    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    assert bake()[0]["a"].reason == (
        "the folder for temporary files: the disk is full; make room, or name a folder with room in TMPDIR"
    )


def test_independent_images_are_built_side_by_side(add, bake, tmp_path):
    """Each build waits for the other one's file: one after the other they would never end."""
    for name, other in (("a", "b"), ("b", "a")):
        wait = f"touch {tmp_path}/{name}; until test -e {tmp_path}/{other}; do sleep 0.02; done"
        add(name, f"FROM scratch\nRUN {wait}\n")
    assert states(bake()[0]) == {"a": "built", "b": "built"}


def test_who_watches_is_told_of_the_steps(add, bake):
    add("a", "FROM scratch\n")
    told = []
    bake(observe=lambda *what: told.append(what))
    assert told == [("a", "building", ""), ("a", "building", "a"), ("a", "built", "")]


def test_an_interruption_ends_the_builds_and_leaves_nothing(add, bake, tmp_path):
    mark = tmp_path / "pid"
    add("a", f"FROM scratch\nRUN echo $$ > {mark}.new; mv {mark}.new {mark}; sleep 600\n")
    commands = Commands()

    def interrupt():
        while not mark.exists():
            time.sleep(0.02)
        commands.cancel()

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(Cancelled):
        bake(commands=commands)
    other.join()
    assert not alive(int(mark.read_text()))
    assert bake.builder.abandoned.images == ("ghcr.io/tests/a",)
    assert not bake.builder.abandoned.scratch.exists()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_whatever_goes_wrong_in_one_piece_of_work_ends_the_others(tmp_path):
    commands, started = Commands(), threading.Event()

    def work(name, results):
        if name == "long":
            started.set()
            commands.run(["sleep", "600"], {})
        started.wait()
        raise ZeroDivisionError

    with pytest.raises((ZeroDivisionError, Cancelled)):
        work_off(["long", "wrong"], {}, work, commands)
    with pytest.raises(Cancelled):
        commands.run(["true"], {})


def test_a_command_that_halts_by_itself_gets_no_signal(tmp_path):
    commands, mark, stop = Commands(), tmp_path / "mark", tmp_path / "stop"
    script = f"trap 'echo signal' TERM; touch {mark}; until test -e {stop}; do sleep 0.02; done; echo ended"
    said = []

    def interrupt():
        while not mark.exists():
            time.sleep(0.02)
        commands.cancel()

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(Cancelled):
        commands.run(["sh", "-c", script], {}, said.append, lambda: stop.touch() is None)
    other.join()
    assert said == ["ended"]


def test_an_error_carries_its_parts():
    error = BuildError("a", "2/3 RUN false", ["one", "two"], "mend it")
    assert str(error) == "a: 2/3 RUN false\n    one\n    two\nmend it"
    assert (error.name, error.step, error.output, error.advice) == ("a", "2/3 RUN false", ("one", "two"), "mend it")

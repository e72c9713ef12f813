"""What is said to docker and podman, and what is read from what they say. No engine is needed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from interactem.engine.images import labels
from interactem.engine.images.advice import advise
from interactem.engine.images.builders import Build
from interactem.engine.images.choosing import find_builder
from interactem.engine.images.docker import DockerBuilder
from interactem.engine.images.errors import NoEngineError
from interactem.engine.images.podman import PodmanBuilder

DOCKER_FAILS = """\
#1 [internal] load build definition from Containerfile
#4 [1/3] FROM ghcr.io/nersc/interactem/operator
#4 DONE 0.0s
#5 [2/3] COPY ./run.py /app/run.py
#5 DONE 0.1s
#6 [3/3] RUN echo hello; exit 3
#6 0.311 hello
#6 0.402 world
#6 ERROR: executor failed running [/bin/sh -c echo hello; exit 3]: exit code: 3
------
 > [3/3] RUN echo hello; exit 3:
------
ERROR: failed to solve: executor failed running
""".splitlines()

PODMAN_FAILS = """\
STEP 1/4: FROM ghcr.io/nersc/interactem/operator
STEP 2/4: RUN echo hello; exit 3
hello
Error: building at STEP "RUN echo hello; exit 3": while running runtime: exit status 3
""".splitlines()


def test_the_failing_step_of_docker():
    step = DockerBuilder().failing_step(DOCKER_FAILS)
    assert step.text == "[3/3] RUN echo hello; exit 3"
    assert step.lines == ["hello", "world", "executor failed running [/bin/sh -c echo hello; exit 3]: exit code: 3"]


def test_a_failure_of_docker_before_any_step():
    step = DockerBuilder().failing_step(["#1 [internal] load", "ERROR: failed to solve: nosuch: not found"])
    assert (step.text, step.lines) == ("", ["ERROR: failed to solve: nosuch: not found"])


def test_the_failing_step_of_podman():
    step = PodmanBuilder().failing_step(PODMAN_FAILS)
    assert step.text == "2/4 RUN echo hello; exit 3"
    assert step.lines == ["hello", 'building at STEP "RUN echo hello; exit 3": while running runtime: exit status 3']


def test_a_failure_of_podman_before_any_step():
    step = PodmanBuilder().failing_step(["Error: no such file"])
    assert (step.text, step.lines) == ("", ["no such file"])


@pytest.mark.parametrize(
    ("builder", "line", "step"),
    [
        (DockerBuilder(), "#6 [3/3] RUN echo hello", "3/3 RUN echo hello"),
        (DockerBuilder(), "#6 [build 1/2] FROM x", "1/2 FROM x"),
        (DockerBuilder(), "#1 [internal] load .dockerignore", None),
        (DockerBuilder(), "#6 0.311 [1/2] no step", None),
        (PodmanBuilder(), "STEP 2/4: COPY a b", "2/4 COPY a b"),
        (PodmanBuilder(), "[1/2] STEP 2/4: COPY a b", "2/4 COPY a b"),
        (PodmanBuilder(), 'STEP 3/4: LABEL "interactem.inputs"="1"', None),
        (PodmanBuilder(), 'STEP 3/4: LABEL "mine"="1"', '3/4 LABEL "mine"="1"'),
        (PodmanBuilder(), "COMMIT x", None),
    ],
)
def test_steps(builder, line, step):
    assert builder.step(line) == step


def test_what_podman_stumbles_over():
    assert PodmanBuilder().stumbled(["STEP 1/2: FROM x", "Error: reading image: layer not known"])
    assert not PodmanBuilder().stumbled(PODMAN_FAILS)


def test_long_steps_are_cut():
    assert len(PodmanBuilder().step("STEP 1/2: RUN " + "x" * 500)) == 100


@pytest.mark.parametrize("builder", [DockerBuilder(), PodmanBuilder()], ids=lambda builder: builder.name)
def test_the_command_of_a_build(builder, tmp_path, monkeypatch):
    monkeypatch.setattr(DockerBuilder, "_builder", "default")
    build = Build(Path("folder"), tmp_path / "Containerfile", ["a", "b"], tmp_path, "mark-1")
    command = builder.build_command(build)
    assert command[0] == builder.name and command[-1] == "folder"
    assert [command[n + 1] for n, word in enumerate(command) if word == "--tag"] == ["a", "b"]
    assert command[command.index("--iidfile") + 1] == str(tmp_path / "image-id")
    assert "--pull" not in command  # what is here is not looked for anywhere else


@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        (["write /x: no space left on device"], "the disk is full: see podman system df"),
        (["unauthorized: authentication required"], "podman login ghcr.io"),
        (["denied: requested access to the resource is denied"], "podman login ghcr.io"),
        (["http: server gave HTTP response to HTTPS client"], "speaks plain HTTP"),
        (["x509: certificate signed by unknown authority"], "--ca-bundle"),
        (["dial tcp: lookup ghcr.io: no such host"], "ghcr.io is not reached"),
        (["manifest unknown"], "ghcr.io has no such image: push it there first"),
        (["something else"], ""),
    ],
)
def test_advice(lines, advice):
    given = advise(lines, "podman", "ghcr.io")
    assert advice in given and bool(advice) == bool(given)


def test_advice_on_what_is_not_found_anywhere():
    assert "also in the Containerfile's FROM" in advise(["manifest unknown"], "docker")


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("FROM a", r'LABEL "x"="say \"\$1\" \\\\ done"'),
        ("# syntax=x\n# escape=`\nFROM a\n", r'LABEL "x"="say `"`$1`" \\ done"'),
    ],
)
def test_labels_are_one_instruction_whatever_they_say(tmp_path, text, added):
    file = tmp_path / "Containerfile"
    file.write_text(text)
    labels.add_to(file, {"x": r'say "$1" \\ done'})
    assert file.read_text().splitlines() == [*text.splitlines(), *([""] if text.endswith("\n") else []), added]


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Replaces docker and podman by scripts; without one, there is none of them."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def programs(**scripts):
        for name, script in scripts.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)

    return programs


RUNS = 'case "$1" in version) echo 20;; buildx) echo github.com/docker/buildx 0.13;; esac'


def test_docker_comes_first_where_it_can_build(programs):
    programs(docker=RUNS, podman="exit 0")
    assert find_builder()[0].name == "docker"
    assert find_builder("podman")[0].name == "podman"


@pytest.mark.parametrize(
    ("docker", "reason", "advice"),
    [
        (None, "there is no docker on this machine", "install Docker"),
        ("echo Cannot connect to the Docker daemon >&2; exit 1", "the Docker daemon does not run", "systemctl start"),
        ("echo permission denied while trying >&2; exit 1", "you may not use the Docker daemon", "usermod -aG docker"),
        ('test "$1" = version || exit 1', "docker has no buildx", "docker-buildx-plugin"),
        ("echo what is that >&2; exit 1", "docker cannot be used: what is that", "systemctl start"),
    ],
)
def test_podman_stands_in_for_it_else(programs, docker, reason, advice):
    if docker is not None:
        programs(docker=docker)
    with pytest.raises(NoEngineError) as caught:
        find_builder()
    assert reason in caught.value.reason and "there is no podman" in caught.value.reason
    assert advice in caught.value.advice and "apt-get install podman" in caught.value.advice
    with pytest.raises(NoEngineError, match=reason):
        find_builder("docker")
    programs(podman="exit 0")
    builder, note = find_builder()
    assert (builder.name, note) == ("podman", reason)


@pytest.mark.parametrize(
    ("said", "reason", "advice"),
    [
        ("Error: cannot find newuidmap", "podman cannot map users", "--add-subuids"),
        ("Cannot connect to Podman. Please verify podman machine", "machine does not run", "podman machine start"),
        ("Error: overlay is broken", "podman cannot be used: Error: overlay is broken", "podman info"),
    ],
)
def test_what_is_wrong_with_podman(programs, said, reason, advice):
    programs(podman=f"echo '{said}' >&2; exit 125")
    with pytest.raises(NoEngineError) as caught:
        PodmanBuilder().images(["a"])
    assert reason in caught.value.reason and advice in caught.value.advice


def test_images_of_podman(programs, tmp_path):
    listed = [
        {"Id": "1" * 64, "RepoTags": ["ghcr.io/a/b:latest"], "Labels": {"x": "y"}, "Size": 7, "Digest": "sha256:d"},
        {"Id": "2" * 64, "RepoTags": ["docker.io/library/python:3"], "Labels": None, "Size": 8},
        {"Id": "3" * 64, "Size": 9},
    ]
    (tmp_path / "list.json").write_text(json.dumps(listed) + "\n")
    read = f'while read -r line; do echo "$line"; done < {tmp_path}/list.json'
    programs(podman=f"{read}; echo 'Error: inspecting object: nosuch: image not known' >&2; exit 125")
    found = PodmanBuilder().images(["ghcr.io/a/b", "python:3", "nosuch"])
    assert {name: image.id[:8] for name, image in found.items()} == {"ghcr.io/a/b": "sha256:1", "python:3": "sha256:2"}
    assert (found["ghcr.io/a/b"].labels, found["ghcr.io/a/b"].size) == ({"x": "y"}, 7)


def test_images_of_docker(programs, tmp_path):
    listed = [{"Id": "sha256:1", "RepoTags": ["a:latest"], "RepoDigests": ["a@sha256:d"], "Config": {"Labels": None}}]
    (tmp_path / "list.json").write_text(json.dumps(listed) + "\n")
    read = f'while read -r line; do echo "$line"; done < {tmp_path}/list.json'
    programs(docker=f"{read}; echo 'Error: No such image: nosuch' >&2; exit 1")
    found = DockerBuilder().images(["a", "nosuch"])
    assert {name: (image.id, image.digest) for name, image in found.items()} == {"a": ("sha256:1", "sha256:d")}
    programs(docker=f"{read}; echo 'Error: the disk is broken' >&2; exit 1")
    with pytest.raises(NoEngineError, match="the disk is broken"):
        DockerBuilder().images(["a"])


def test_proxies_reach_a_build_in_docker(monkeypatch, tmp_path):
    monkeypatch.setattr(DockerBuilder, "_builder", "default")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy")
    command = DockerBuilder().build_command(Build(tmp_path, tmp_path / "C", ["a"], tmp_path, "m"))
    assert command[command.index("--build-arg") + 1] == "https_proxy"  # its value is for nobody to see


def test_podman_lists_again_when_an_image_goes_meanwhile(programs, tmp_path):
    programs(
        podman=f"if test -e {tmp_path}/again; then echo '[]'; exit 0; fi; : > {tmp_path}/again; "
        "echo 'Error: locating image with ID 1: image not known' >&2; exit 125"
    )
    assert PodmanBuilder().labelled("a") == []

"""From a launch to what podman and Docker are asked to make: pure functions, so no engine is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from interactem.engine.containers import docker, podman
from interactem.engine.containers.arguments import (
    NOBODYS_USER,
    PROCESSES,
    Identity,
    RunsAs,
    container_options,
    runs_as,
    unset_limits,
)
from interactem.engine.containers.engines import Abilities, Bind
from interactem.engine.launchers import Launch, Place
from interactem.spec import Resources

ME = Identity(1000, 100, "17:123:machine")
ROOT = Identity(0, 0, "17:123:machine")
AS_ME = RunsAs(1000, 100, 1000)
ALL = Abilities()
LAUNCH = Launch(
    operator="partial",
    replica=1,
    incarnation=0,
    command=(),
    environment={"INTERACTEM_RUN": "r-1"},
    folder=Path("/runs/r-1"),
    log=lambda line: None,
    run="r-1",
    image="sha256:abc",
    places={"INTERACTEM_OUTPUTS": Place(Path("/runs/r-1/outputs"), "/interactem/outputs", writable=True, owned=True)},
    binds=(Place(Path("/data/scan:1.mib"), "/interactem/mounts/file/scan:1.mib"),),
)


def options(launch=LAUNCH, *, user=AS_ME, abilities=ALL):
    return container_options(launch, ME, user, abilities)


def test_a_replica_finds_its_places_inside_of_the_container():
    made = options()
    assert made.environment == {
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
        "INTERACTEM_RUN": "r-1",
        "INTERACTEM_OUTPUTS": "/interactem/outputs",
    }
    assert made.binds == (
        Bind("/runs/r-1/outputs", "/interactem/outputs", writable=True),
        Bind("/data/scan:1.mib", "/interactem/mounts/file/scan:1.mib"),
    )


def test_names_and_labels():
    made = options()
    assert made.name == "interactem-r-1-partial.1"
    assert options(replace(LAUNCH, incarnation=3)).name == "interactem-r-1-partial.1.3"
    assert made.labels == {
        "interactem.run": "r-1",
        "interactem.operator": "partial",
        "interactem.replica": "1",
        "interactem.supervisor": "17:123:machine",
        "interactem.user": "1000",
    }


@pytest.mark.parametrize(
    ("identity", "abilities", "engine", "expected"),
    [
        (ROOT, ALL, "podman", RunsAs(NOBODYS_USER, NOBODYS_USER, NOBODYS_USER)),
        (ROOT, ALL, "docker", RunsAs(NOBODYS_USER, NOBODYS_USER, NOBODYS_USER)),
        (ME, ALL, "docker", RunsAs(1000, 100, 1000)),
        (ME, ALL, "podman", RunsAs(1000, 100, 1000)),
        (ME, Abilities(rootless=True), "podman", RunsAs(1000, 100, 1000, keep=True)),
        (ME, Abilities(rootless=True), "docker", RunsAs(0, 0, 1000)),
    ],
)
def test_whom_a_container_runs_as(identity, abilities, engine, expected):
    assert runs_as(identity, abilities, engine) == expected


def test_without_a_word_processes_alone_are_limited():
    made = options()
    assert (made.memory, made.swap, made.cpus, made.processes, made.gpus) == (None, None, None, PROCESSES, 0)


def test_limits():
    resources = Resources(memory=2**30, cpus=1.5, processes=64, gpus=2)
    made = options(replace(LAUNCH, resources=resources))
    assert (made.memory, made.swap, made.cpus, made.processes, made.gpus) == (2**30, 2**30, 1.5, 64, 2)
    assert unset_limits(resources, ALL) == []


def test_a_limit_that_cannot_be_set_is_left_out_and_told():
    resources = Resources(memory=2**30, cpus=1.5)
    nothing = Abilities(memory=False, swap=False, cpus=False, processes=False)
    made = options(replace(LAUNCH, resources=resources), abilities=nothing)
    assert (made.memory, made.swap, made.cpus, made.processes) == (None, None, None, None)
    assert unset_limits(resources, nothing) == ["memory", "cpus", "processes"]
    assert unset_limits(Resources(), Abilities(memory=False, cpus=False)) == []


FULL = options(replace(LAUNCH, command=("python", "-c", "1"), resources=Resources(memory=2**30, cpus=1.5, gpus=2)))


def test_what_podman_is_asked_to_make():
    body = podman.creation(FULL)
    assert body["entrypoint"] == ["python", "-c", "1"]
    assert body["command"] == []
    assert body["cap_drop"] == ["ALL"]
    assert body["no_new_privileges"] is True
    assert body["read_only_filesystem"] is True
    assert body["httpproxy"] is False
    assert body["netns"] == {"nsmode": "host"}
    assert body["resource_limits"] == {
        "memory": {"limit": 2**30, "swap": 2**30},
        "cpu": {"period": 100_000, "quota": 150_000},
        "pids": {"limit": PROCESSES},
    }
    assert body["devices"] == [{"path": "nvidia.com/gpu=0"}, {"path": "nvidia.com/gpu=1"}]
    assert [(m["destination"], m["options"][0]) for m in body["mounts"][1:]] == [
        ("/interactem/outputs", "rw"),
        ("/interactem/mounts/file/scan:1.mib", "ro"),
    ]
    assert "userns" not in body


def test_rootless_podman_keeps_our_number():
    body = podman.creation(options(user=replace(AS_ME, keep=True)))
    assert body["userns"] == {"nsmode": "keep-id"}
    assert body["user"] == "1000:100"


def test_what_docker_is_asked_to_make():
    container, host = docker.creation(FULL)
    assert container["entrypoint"] == ["python", "-c", "1"]
    assert container["use_config_proxy"] is False
    assert host["cap_drop"] == ["ALL"]
    assert "no-new-privileges" in host["security_opt"]
    assert host["read_only"] is True
    assert host["network_mode"] == "host"
    assert (host["mem_limit"], host["memswap_limit"]) == (2**30, 2**30)
    assert host["nano_cpus"] == 1_500_000_000
    assert host["pids_limit"] == PROCESSES
    assert host["device_requests"] == [{"Count": 2, "Capabilities": [["gpu"]]}]
    assert [(m["Target"], m["ReadOnly"]) for m in host["mounts"]] == [
        ("/interactem/outputs", False),
        ("/interactem/mounts/file/scan:1.mib", True),
    ]
    assert "userns_mode" not in host


def test_docker_does_not_remap_the_user():
    _, host = docker.creation(options(abilities=Abilities(remaps_users=True)))
    assert host["userns_mode"] == "host"


def test_without_a_command_the_image_has_its_own():
    assert "entrypoint" not in podman.creation(options())
    container, _ = docker.creation(options())
    assert "entrypoint" not in container

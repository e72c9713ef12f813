"""Where engines are looked for, and what is said where there is none."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest

from interactem.engine.containers.connecting import read_file, with_files
from interactem.engine.containers.errors import NoEngineError, NotServedError
from interactem.engine.containers.sockets import VARIABLES, candidates, find_socket
from interactem.engine.errors import EngineError


def paths(engine, environment, uid=1000):
    return [candidate.path for candidate in candidates(engine, environment, uid)]


@pytest.mark.parametrize(
    ("engine", "environment", "uid", "expected"),
    [
        ("podman", {}, 0, ["/run/podman/podman.sock"]),
        ("podman", {}, 1000, ["/run/user/1000/podman/podman.sock", "/run/podman/podman.sock"]),
        ("podman", {"XDG_RUNTIME_DIR": "/r"}, 1000, ["/r/podman/podman.sock", "/run/podman/podman.sock"]),
        ("podman", {"CONTAINER_HOST": "unix:///a.sock", "PODMAN_SERVICE_URI": "unix:///b.sock"}, 0, ["/a.sock"]),
        ("podman", {"PODMAN_SERVICE_URI": "http+unix://%2Fb.sock"}, 0, ["/b.sock"]),
        ("podman", {"CONTAINER_HOST": "/plain.sock"}, 0, ["/plain.sock"]),
        ("podman", {"DOCKER_HOST": "unix:///d.sock", "CONTAINER_HOST": ""}, 0, ["/run/podman/podman.sock"]),
        ("docker", {}, 0, ["/var/run/docker.sock"]),
        ("docker", {}, 1000, ["/run/user/1000/docker.sock", "/var/run/docker.sock"]),
        ("docker", {"DOCKER_HOST": "unix:///d.sock"}, 1000, ["/d.sock"]),
    ],
)
def test_where_to_look(engine, environment, uid, expected):
    assert paths(engine, environment, uid) == expected


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:2375", "ssh://user@host/run/podman/podman.sock", "somewhere"])
def test_an_engine_elsewhere_is_of_no_use(address):
    with pytest.raises(NoEngineError, match=r"DOCKER_HOST is '.*', which is no socket of this machine; .*unset"):
        candidates("docker", {"DOCKER_HOST": address}, 0)


def test_a_named_socket_that_is_not_there(tmp_path):
    with pytest.raises(NoEngineError, match=r"CONTAINER_HOST names .*no\.sock, and there is no socket; .*unset CONT"):
        find_socket("podman", {"CONTAINER_HOST": f"unix://{tmp_path}/no.sock"})


def test_a_socket_that_nobody_serves(tmp_path):
    path = str(tmp_path / "dead.sock")
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(path)
    with pytest.raises(NoEngineError, match="nobody answers") as caught:
        find_socket("docker", {"DOCKER_HOST": f"unix://{path}"})
    assert not isinstance(caught.value, NotServedError)


@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_without_an_engine_it_is_said_how_to_get_one(engine, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("interactem.engine.containers.sockets._SYSTEM", {engine: "/nowhere/engine.sock"})
    with pytest.raises(NotServedError, match=rf"{engine}: there is no socket at /.*; install it.*apt install"):
        find_socket(engine, {"XDG_RUNTIME_DIR": "/nowhere"})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody without rights")
def test_without_permission_it_is_said_what_to_do(tmp_path):
    path = tmp_path / "docker.sock"
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0o600)
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            try:
                find_socket("docker", {"DOCKER_HOST": f"unix://{path}"})
            except NoEngineError as error:
                os._exit(0 if "no permission for its socket" in str(error) and "usermod" in error.advice else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_socket_that_is_served_is_found(tmp_path):
    path = str(tmp_path / "live.sock")
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(path)
        server.listen()
        assert find_socket("docker", {"DOCKER_HOST": f"unix://{path}"}) == path


PODMAN = """#!{python}
import socket, sys, time
assert sys.argv[1:3] == ["system", "service"], sys.argv
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[-1].removeprefix("unix://"))
server.listen()
server.settimeout(20)
server.accept()
"""


@pytest.fixture
def podman(tmp_path, monkeypatch):
    """A machine with a podman that nobody has started."""

    def install(text):
        program = tmp_path / "bin" / "podman"
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setattr("interactem.engine.containers.sockets._SYSTEM", {"podman": "/nowhere/podman.sock"})

    return install


def test_podmans_service_is_started_where_there_is_none(podman, tmp_path):
    podman(PODMAN.format(python=sys.executable))
    assert find_socket("podman", os.environ) == str(tmp_path / "interactem" / "podman.sock")


def test_a_service_that_does_not_start_says_why(podman):
    podman("#!/bin/sh\necho 'newuidmap is not installed' >&2\nexit 125\n")
    with pytest.raises(NoEngineError, match=r"cannot be started: newuidmap is not installed; see .*podman info"):
        find_socket("podman", os.environ)


def test_nothing_is_started_just_for_a_look(podman):
    podman("#!/bin/sh\nexit 0\n")
    with pytest.raises(NotServedError, match=r"start it with: systemctl --user start podman\.socket"):
        find_socket("podman", os.environ, start=False)


def test_what_a_file_says(tmp_path):
    file = tmp_path / ".env"
    file.write_text(
        "# engines\nCONTAINER_HOST=unix:///a.sock # ours\nexport DOCKER_HOST = 'unix:///d.sock'\nPASSWORD=secret\nbroken\n"
    )
    assert read_file(file, ["CONTAINER_HOST", "DOCKER_HOST"]) == {
        "CONTAINER_HOST": "unix:///a.sock",
        "DOCKER_HOST": "unix:///d.sock",
    }


def test_the_environment_is_before_the_files_and_the_nearest_file_before_the_others(tmp_path):
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".env").write_text(f"CONTAINER_HOST=/{name}.sock\nDOCKER_HOST=/{name}.sock\n")
    (tmp_path / "none").mkdir()
    found = with_files({"DOCKER_HOST": "/given.sock"}, [tmp_path / "none", tmp_path / "near", tmp_path / "far"])
    assert found == {"CONTAINER_HOST": "/near.sock", "DOCKER_HOST": "/given.sock"}


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(EngineError, match=r"\.env cannot be read"):
        with_files({}, [tmp_path])


def test_the_example_names_every_variable_and_sets_none():
    example = Path(__file__).parents[2] / ".env.example"
    names = [name for each in VARIABLES.values() for name in each]
    assert read_file(example, names) == {}
    assert all(name in example.read_text() for name in names)

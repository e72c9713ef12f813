"""Where the engines' sockets are, what is wrong where they cannot be used, and how podman's is started."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from interactem.engine.containers.engines import EngineName
from interactem.engine.containers.errors import NoEngineError, NotServedError
from interactem.engine.index import user_folder

VARIABLES: Mapping[EngineName, tuple[str, ...]] = {
    "podman": ("CONTAINER_HOST", "PODMAN_SERVICE_URI"),
    "docker": ("DOCKER_HOST",),
}
_SYSTEM: Mapping[EngineName, str] = {"podman": "/run/podman/podman.sock", "docker": "/var/run/docker.sock"}
_OWN: Mapping[EngineName, str] = {"podman": "podman/podman.sock", "docker": "docker.sock"}
"""In the user's runtime folder."""
START_SECONDS = 20.0
IDLE_SECONDS = 60
"""A service that we started ends by itself after so long without anybody."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where the socket may be. `told` says who named it; empty for a usual place."""

    path: str
    told: str = ""


def candidates(engine: EngineName, environment: Mapping[str, str], uid: int) -> list[Candidate]:
    """Where to look, in this order: what somebody has named is the only one.

    Raises `NoEngineError` for an address that is no socket of this machine.
    """
    for name in VARIABLES[engine]:
        if environment.get(name):
            return [Candidate(_path(engine, name, environment[name]), name)]
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    system = Candidate(_SYSTEM[engine])
    return [system] if uid == 0 else [Candidate(f"{runtime}/{_OWN[engine]}"), system]


def _path(engine: EngineName, name: str, address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme in ("unix", "http+unix"):
        return unquote(parts.netloc + parts.path)
    if not parts.scheme and address.startswith("/"):
        return address
    reason = f"{name} is {address!r}, which is no socket of this machine"
    advice = f"containers share its network and files: unset {name}, or set it to unix:///path/to/the.sock"
    raise NoEngineError(engine, reason, advice)


def find_socket(engine: EngineName, environment: Mapping[str, str] = os.environ, *, start: bool = True) -> str:
    """The path of the engine's socket. With `start`, podman's service is started if there is none.

    Raises `NoEngineError`.
    """
    places = candidates(engine, environment, os.getuid())
    failures = [(place, failure) for place in places if (failure := _try(place.path)) is not None]
    if len(failures) < len(places):
        failed = {place.path for place, _ in failures}
        return next(place.path for place in places if place.path not in failed)
    if start and engine == "podman" and not any(place.told for place in places) and (program := shutil.which("podman")):
        return _start_podman(program)
    raise _no_socket(engine, failures)


def answers(path: str) -> bool:
    """Whether somebody can be talked to at this socket."""
    return _try(path) is None


def _try(path: str) -> OSError | None:
    """Why nobody can be talked to at this socket; None where somebody can."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
        client.settimeout(5.0)
        try:
            client.connect(path)
        except OSError as error:
            return error
    return None


def _no_socket(engine: EngineName, failures: Sequence[tuple[Candidate, OSError]]) -> NoEngineError:
    # the one that is there says more than the one that is not
    place, error = next((each for each in failures if each[1].errno != errno.ENOENT), failures[0])
    if error.errno in (errno.EACCES, errno.EPERM):
        return NoEngineError(engine, f"you have no permission for its socket {place.path}", _PERMISSION[engine])
    missing = error.errno == errno.ENOENT
    reason = "there is no socket" if missing else f"nobody answers ({error.strerror or error})"
    if place.told:
        advice = f"start it there, or correct or unset {place.told}"
        return NoEngineError(engine, f"{place.told} names {place.path}, and {reason}", advice)
    advice = _START[engine] if shutil.which(engine) else _INSTALL[engine]
    return (NotServedError if missing else NoEngineError)(engine, f"{reason} at {place.path}", advice)


_PERMISSION: Mapping[EngineName, str] = {
    "podman": "use your own: systemctl --user start podman.socket, or unset CONTAINER_HOST",
    "docker": "join its group: sudo usermod -aG docker $USER, and log in again",
}
_START: Mapping[EngineName, str] = {
    "podman": "start it with: systemctl --user start podman.socket, or: podman system service --time=0",
    "docker": "start it with: sudo systemctl start docker, or name its socket with DOCKER_HOST",
}
_INSTALL: Mapping[EngineName, str] = {
    "podman": "install it, such as with: sudo apt install podman",
    "docker": "install it, such as with: sudo apt install docker.io; or use --launcher podman",
}


def _start_podman(program: str) -> str:
    """Start podman's service for ourselves, as a process of its own that ends when nobody has used it for a while."""
    folder = user_folder()
    path, log = folder / "podman.sock", folder / "podman.log"
    with (folder / "podman.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one that two start at once takes the other's socket away
        if not _serves(path):
            _serve(program, path, log)
    return str(path)


def _serve(program: str, path: Path, log: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
    with log.open("wb") as output:
        service = subprocess.Popen(
            [program, "system", "service", f"--time={IDLE_SECONDS}", f"unix://{path}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and service.poll() is None:
        if _serves(path):
            service.returncode = 0  # it is on its own now: nobody here waits for it
            return
        time.sleep(0.02)
    if service.poll() is None:
        service.kill()
        service.wait()
    words = log.read_text(errors="replace").strip().splitlines()[-5:]
    said = " | ".join(words) or f"it did not serve within {START_SECONDS:g} s"
    raise NoEngineError("podman", f"its service cannot be started: {said}", "see whether this works: podman info")


def _serves(path: Path) -> bool:
    return path.is_socket() and answers(str(path))

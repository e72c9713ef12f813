"""Starting an operator's daemon: its socket in a folder of its own, its process, and the file that says where it is."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from interactem.cli import daemon_client
from interactem.cli.environments import operator_python
from interactem.cli.failures import FailedError, InvalidError
from interactem.runtime.own_folders import clear_away, new_folder

LONGEST = 100
"""Bytes of a socket's path: a little less than what systems take."""


def start_daemon(folder: Path, connection_file: Path, request: Mapping[str, Any]) -> int:
    """The exit code of the start; with another one than 0 nothing is left. Raises `InvalidError`, `FailedError`."""
    place = connection_file.absolute()
    if not place.parent.is_dir():
        raise InvalidError(f"--connection-file: there is no folder {place.parent}")
    _check_free(place)
    python = operator_python(folder)
    with _only_one(place):
        _check_free(place)
        room, own = _socket_folder(), new_folder()
        try:
            listener = _listen(room / "socket")
            _write_connection_file(place, room / "socket", own)
        except BaseException:
            _remove(place, room, own)
            raise
    command = [str(python), "-m", "interactem.runtime.daemon", str(place), str(room)]
    try:
        return _start(command, listener, {**request, "own_folder": str(own)})
    except BaseException:  # it never got so far that it could clean up by itself
        _remove(place, room, own)
        raise


def _start(command: Sequence[str], listener: socket.socket, request: Mapping[str, Any]) -> int:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs, listener:
            descriptors = (listener.fileno(), theirs.fileno())
            process = subprocess.Popen(
                [*command, *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            return daemon_client.follow(ours, json.dumps(request).encode())
        except FailedError:
            code = process.wait()
            with suppress(ProcessLookupError, PermissionError):  # what it had started itself
                os.killpg(process.pid, signal.SIGKILL)
            raise FailedError(f"the daemon ended while it started, with exit code {code}") from None


def _check_free(place: Path) -> None:
    """Raises `InvalidError` where a daemon answers there, or what is there is not ours; removes what is stale."""
    if not os.path.lexists(place):
        return
    try:
        daemon_client.connect(str(place)).close()
    except daemon_client.StaleError:
        daemon_client.remove_stale(str(place))
        return
    advice = "stop it first (interactem operator daemon stop), or name another file"
    raise InvalidError(f"{place}: a daemon runs there; {advice}")


@contextmanager
def _only_one(place: Path) -> Iterator[None]:
    """While the file is looked at and written, no other start does that in the same folder."""
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every network's file system locks folders
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _socket_folder() -> Path:
    """A new folder that only this user can look into."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    for base in (runtime, tempfile.gettempdir(), "/tmp"):
        if base and os.access(base, os.W_OK) and len(os.fsencode(f"{base}/interactem-12345678/socket")) <= LONGEST:
            return Path(tempfile.mkdtemp(prefix="interactem-", dir=base))
    raise FailedError("there is no folder for a socket: set XDG_RUNTIME_DIR to one with a short path")


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen()
    return listener


def _write_connection_file(place: Path, path: Path, own: Path) -> None:
    value = {"interactem_daemon": daemon_client.VERSION, "socket": str(path), "folder": str(own)}
    made = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(value) + "\n")
        made.rename(place)
    except OSError as error:
        made.unlink(missing_ok=True)
        raise InvalidError(f"{place}: {(error.strerror or str(error)).lower()}") from None


def _remove(place: Path, room: Path, own: Path) -> None:
    """What was made for a daemon, where it is still that one's."""
    with suppress(OSError, ValueError, AttributeError):
        if json.loads(place.read_bytes()).get("socket") == str(room / "socket"):
            place.unlink()
    shutil.rmtree(room, ignore_errors=True)
    clear_away(own)

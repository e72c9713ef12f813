"""The client of an operator's daemon: one request, its output as it comes, and its exit code.

`daemon run` has to be quick, so only what it cannot do without is imported here. `interactem.runtime.frames` is the
other side, and describes the frames.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import stat
import struct
import sys

from interactem.cli.rundata import read_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEADER = struct.Struct(">cQ")
REQUEST, CANCEL, STDOUT, STDERR, RESULT = b"Q", b"C", b"O", b"E", b"R"
VERSION = 1
FAILED, INTERRUPTED = 1, 130


class StaleError(OSError):
    """Nobody answers behind a connection file."""


def run_each(connection_file: str, run_data: list[str]) -> int:
    """Run with one after the other, up to the first that fails. Raises `InvalidError` and `FailedError`."""
    every = [read_data(one, "--run-data") for one in run_data]
    for data in every:
        if code := request(connection_file, {"do": "run", "run_data": data}):
            return code
    return 0


def stop_daemon(connection_file: str) -> int:
    """Raises `InvalidError` and `FailedError`; what a daemon that is gone has left is removed."""
    return request(connection_file, {"do": "stop"})


def request(connection_file: str, asked: dict[str, Any]) -> int:
    """The exit code of what was asked for. Raises `InvalidError` and `FailedError`."""
    try:
        channel = connect(connection_file)
    except StaleError:
        if asked["do"] == "stop":
            remove_stale(connection_file)
        raise _failed(
            f"{connection_file}: its daemon is gone, and did not stop and clean up: it was killed, or the machine "
            "started anew; start it again: interactem operator daemon start"
        ) from None
    with channel:
        return follow(channel, json.dumps(asked).encode())


def socket_of(connection_file: str) -> str:
    """The path of the daemon's socket. Raises `InvalidError` for what is no connection file of this user's."""
    path: str = _read(connection_file)["socket"]
    return path


def _read(connection_file: str) -> dict[str, Any]:
    try:
        with open(connection_file, "rb") as file:
            about = os.fstat(file.fileno())
            content = file.read(2**16) if stat.S_ISREG(about.st_mode) else b""
    except FileNotFoundError:
        advice = "start a daemon: interactem operator daemon start PATH --connection-file FILE"
        raise _invalid(f"{connection_file}: there is no such connection file; {advice}") from None
    except OSError as error:
        raise _invalid(f"{connection_file}: {(error.strerror or str(error)).lower()}") from None
    if about.st_uid != os.geteuid():
        raise _invalid(f"{connection_file} belongs to another user (id {about.st_uid}), and so does its daemon")
    try:
        value = json.loads(content)
        version, path = value["interactem_daemon"], value["socket"]
        good = isinstance(path, str) and os.path.isabs(path) and b"\0" not in os.fsencode(path)
    except (ValueError, TypeError, KeyError, RecursionError):
        good = False
    if not good:
        raise _invalid(f"{connection_file} is not a connection file of a daemon")
    if version != VERSION:
        raise _invalid(f"{connection_file} is of version {version}; this interactem reads {VERSION}")
    return {"socket": path, "folder": value.get("folder")}


def connect(connection_file: str) -> socket.socket:
    """Raises `InvalidError` for a file that is not ours, `StaleError` where nobody answers."""
    path = socket_of(connection_file)
    channel = socket.socket(socket.AF_UNIX)
    try:
        channel.connect(path)
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError) as error:
        channel.close()
        raise StaleError(path) from error
    except OSError as error:
        channel.close()
        raise _failed(f"{connection_file}: its daemon cannot be reached at {path}: {error}") from None
    if sys.platform == "linux":
        credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] != os.geteuid():
            channel.close()
            raise _invalid(f"{connection_file}: what answers there is another user's, and is not asked for anything")
    return channel


def remove_stale(connection_file: str) -> None:
    """What a daemon that was killed has left: the file, its socket, and the folders that were made for it.

    Whatever the file says, nothing is removed but what looks as we make it.
    """
    from contextlib import suppress
    from pathlib import Path

    from interactem.runtime.own_folders import clear_away

    value = _read(connection_file)
    path = value["socket"]
    with suppress(OSError):  # it is gone, or something else is in it by now
        if _is_made(os.path.dirname(path), stat.S_IFDIR):
            if _is_made(path, stat.S_IFSOCK):
                os.unlink(path)
            os.rmdir(os.path.dirname(path))
    if isinstance(own := value["folder"], str) and _is_made(own, stat.S_IFDIR):
        clear_away(Path(own))
    with suppress(OSError):
        os.unlink(connection_file)


def _is_made(path: str, kind: int) -> bool:
    """Whether there is something of this kind, of this user's and for nobody else, under a name that we give."""
    try:
        about = os.lstat(path)
    except (OSError, ValueError):
        return False
    named = kind == stat.S_IFSOCK or os.path.basename(path).startswith("interactem-")
    private = not stat.S_IMODE(about.st_mode) & 0o077
    return named and private and stat.S_IFMT(about.st_mode) == kind and about.st_uid == os.geteuid()


def follow(channel: socket.socket, asked: bytes) -> int:
    """Send a request, print what comes, and return the exit code that it ends with. Raises `FailedError`.

    The first signal cancels the request, the second one ends the waiting for it.
    """
    told: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        told.append(number)
        if len(told) > 1 or not sent:
            os._exit(INTERRUPTED)  # the end of the connection cancels too
        channel.sendall(HEADER.pack(CANCEL, 0))

    sent = False
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, on_signal)
    try:
        channel.sendall(HEADER.pack(REQUEST, len(asked)) + asked)
        sent = True
        result = _print_until_result(channel)
    except ConnectionError:
        result = None
    if result is None:
        raise _failed("the daemon ended before it was done: it was killed, or the operator ended its process")
    while channel.recv(4096):  # of one that stops: until it has ended
        pass
    if result["error"]:
        sys.stderr.write(f"error: {result['error']}\n")
    return int(result["code"])


def _print_until_result(channel: socket.socket) -> dict[str, Any] | None:
    with io.BufferedReader(io.FileIO(channel.fileno(), closefd=False), 2**17) as stream:
        while len(head := stream.read(HEADER.size)) == HEADER.size:
            kind, length = HEADER.unpack(head)
            if kind == RESULT:
                result: dict[str, Any] = json.loads(stream.read(length))
                return result
            while length:
                part = stream.read1(min(length, 2**17))
                if not part:
                    return None
                length -= len(part)
                _write(1 if kind == STDOUT else 2, part)
    return None


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BrokenPipeError:  # whoever reads us has enough, such as `head`; our end cancels the request
            os._exit(FAILED)
        except BlockingIOError:  # a terminal that another program has changed
            import select

            select.select([], [descriptor], [])


def _invalid(message: str) -> Exception:
    from interactem.cli.failures import InvalidError

    return InvalidError(message)


def _failed(message: str) -> Exception:
    from interactem.cli.failures import FailedError

    return FailedError(message)

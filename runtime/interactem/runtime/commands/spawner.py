"""A small process that starts commands for us, and ends them and all that they started, should we be killed.

It outlives us by just that. Each command leads a group of its own; when the command ends, whatever is left of its group
ends with it, and on Linux also what has left the group. The spawner has one thread and little memory, so that a start
takes a millisecond or two however large the operator is. As a script: standard library only.

Each request on the socket is four bytes of length and a JSON document: `start`, with the files that are to be the
command's standard input, output and error, or `signal`. Each answer is a line of JSON: `started`, `failed` or `ended`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_LENGTH = 4
_STRAYS = 100
"""So many times is looked for what commands have left behind: each end of one may bring others to light."""


class Spawner:
    """Our side of it. The process is started with the first command. Use it from one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._numbers = 0
        self._heard = b""
        self._codes: dict[int, int | None] = {}
        self._groups: dict[int, int] = {}
        """Of the commands that run."""

    @property
    def channel(self) -> int:
        """A descriptor that can be read from when there is something to `hear`."""
        return self._open().fileno()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, files: tuple[int, int, int]
    ) -> int:
        """Start a command, and return the number that it goes by. Raises `OSError` where that cannot be done."""
        self._numbers += 1
        number = self._numbers
        asked = {"start": number, "arguments": arguments, "environment": dict(environment), "folder": str(folder)}
        self._ask(asked, files)
        self._codes[number] = None
        while True:
            for answer in self._answers():  # its end may be told with its start
                if answer.get("started") == number:
                    if self._codes[number] is None:
                        self._groups[number] = answer["pid"]
                    return number
                if answer.get("failed") == number:
                    del self._codes[number]
                    raise OSError(answer["errno"], answer["reason"], answer["file"])

    def signal(self, number: int, signum: int) -> None:
        """Send a signal to a command and its group. Does nothing to one that has ended."""
        if self._codes[number] is None:
            with suppress(ConnectionError):
                self._ask({"signal": signum, "of": number})

    def hear(self) -> None:
        """Take in what there is; waits for it."""
        with suppress(ConnectionError):
            self._answers()

    def code(self, number: int) -> int | None:
        """How a command has ended: its exit code, negative for a signal; None while it runs."""
        return self._codes[number]

    def forget(self, number: int) -> None:
        """Nobody asks for this command any more."""
        self._codes.pop(number, None)

    def close(self) -> None:
        """End everything."""
        self._groups.clear()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _open(self) -> socket.socket:
        idle = None not in self._codes.values()
        if self._channel is None or (idle and self._process is not None and self._process.poll() is not None):
            self.close()
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    cwd="/",
                )
            self._channel, self._heard = ours, b""
        return self._channel

    def _ask(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> None:
        channel = self._open()
        document = json.dumps(request).encode()
        try:
            socket.send_fds(channel, [len(document).to_bytes(_LENGTH, "big")], files)
            channel.sendall(document)
        except OSError as error:
            raise self._lost() from error

    def _answers(self) -> list[dict[str, Any]]:
        try:
            read = self._open().recv(65_536)
        except ConnectionError:
            read = b""
        if not read:
            raise self._lost()
        *lines, self._heard = (self._heard + read).split(b"\n")
        answers = [json.loads(line) for line in lines]
        for answer in answers:
            if "ended" in answer:
                self._codes[answer["ended"]] = answer["code"]
                self._groups.pop(answer["ended"], None)
        return answers

    def _lost(self) -> ConnectionError:
        """Somebody has ended it, and what it had started ends with it. The next command gets another."""
        for group in self._groups.values():
            _kill_group(group)
        self.close()
        self._codes.update({number: -signal.SIGKILL for number, code in self._codes.items() if code is None})
        return ConnectionAbortedError("the process that starts commands was killed, and its commands with it")


# the other side


class _Server:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._live: dict[int, subprocess.Popen[bytes]] = {}
        self._prctl = _prctl()
        if self._prctl is not None:
            set_child_subreaper = 36
            self._prctl(set_child_subreaper, 1, 0, 0, 0)

    def serve(self) -> None:
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        while True:
            ready, _, _ = select.select([self._channel.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 65_536)
                self._look()
            if self._channel.fileno() in ready and not self._take():
                break
        for process in self._live.values():
            _kill_group(process.pid)
            process.wait()
        self._live.clear()
        self._kill_strays()

    def _take(self) -> bool:
        """Do what is asked. False at the end."""
        length, files, _, _ = socket.recv_fds(self._channel, _LENGTH, 3)
        length += _read(self._channel, _LENGTH - len(length)) if length else b""
        if len(length) < _LENGTH:
            return False
        document = _read(self._channel, int.from_bytes(length, "big"))
        try:
            request = json.loads(document)
        except ValueError:
            return False  # it was killed in the middle of a request
        if "start" in request:
            self._start(request, files)
        elif request["of"] in self._live:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._live[request["of"]].pid, request["signal"])
        return True

    def _start(self, request: Mapping[str, Any], files: Sequence[int]) -> None:
        number = request["start"]
        try:
            self._live[number] = process = subprocess.Popen(
                request["arguments"],
                env=request["environment"],
                cwd=request["folder"],
                stdin=files[0],
                stdout=files[1],
                stderr=files[2],
                start_new_session=True,
                preexec_fn=self._die_with_us if self._prctl is not None else None,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            told = {"errno": getattr(error, "errno", None) or 0, "file": getattr(error, "filename", None)}
            reason = getattr(error, "strerror", None) or str(error)
            self._tell({"failed": number, "reason": reason, **told})
        else:
            self._tell({"started": number, "pid": process.pid})
        finally:
            for file in files:
                os.close(file)

    def _die_with_us(self) -> None:
        set_parent_death_signal = 1
        if self._prctl is not None:
            self._prctl(set_parent_death_signal, int(signal.SIGKILL), 0, 0, 0)

    def _look(self) -> None:
        """Take leave of the commands that have ended, and of all that they have left behind."""
        for number, process in list(self._live.items()):
            if _has_ended(process):
                _kill_group(process.pid)
                code = process.wait()
                del self._live[number]
                if not self._live:
                    self._kill_strays()
                self._tell({"ended": number, "code": code})

    def _kill_strays(self) -> None:
        """What commands have started that has left their groups is our child by now, as no command runs."""
        for _ in range(_STRAYS):
            if not (strays := _children()):
                return
            for pid in strays:
                with suppress(ProcessLookupError, PermissionError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _tell(self, answer: Mapping[str, Any]) -> None:
        with suppress(OSError):  # there is nobody left, which is seen at the next turn
            self._channel.sendall(json.dumps(answer).encode() + b"\n")


def _prctl() -> Any:
    """The system call; None on other systems than Linux."""
    if sys.platform != "linux":
        return None
    import ctypes

    return ctypes.CDLL(None).prctl


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has; where that can be known beforehand it is not waited for, so that its group keeps its number."""
    if sys.platform != "linux":
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: no permission where all are dead
        os.killpg(group, signal.SIGKILL)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # not Linux, or one that does not tell
        return []


def _read(channel: socket.socket, size: int) -> bytes:
    parts = []
    while size and (part := channel.recv(min(size, 1_048_576))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def main(number: int) -> None:
    with socket.socket(fileno=number) as channel:
        channel.set_inheritable(False)
        _Server(channel).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))

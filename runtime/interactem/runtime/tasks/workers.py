"""One worker's process, seen from above: what it was given, what comes back, and what it was at when it died."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from interactem.runtime.own_folders import clear_away, new_folder
from interactem.runtime.tasks import talking
from interactem.runtime.tasks.reading import Line
from interactem.runtime.tasks.slots import TaskSlot

CHUNK_SECONDS = 0.02
"""Tasks of about so much time are given together."""
CHUNK_TASKS = 1024
CHUNK_BYTES = 4 * 2**20
GRACE_SECONDS = 1.0
"""How long a task may outlast its limit until its worker is ended."""


@dataclass(slots=True)
class Returned:
    """Results of the first tasks of those that a worker holds."""

    tasks: list[Line]
    lengths: list[int]
    statuses: bytes
    lines: bytes


@dataclass(slots=True)
class Heard:
    """What a worker has said since it was listened to last."""

    returned: list[Returned] = field(default_factory=list)
    error: tuple[int, str] | None = None
    """Why it could not start, or stop as it should, and the exit code for it."""
    left: bool = False


class WorkerProcess:
    """Start it from a thread that lives as long as the worker should."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._folder = new_folder()
        self.slot = TaskSlot.make()
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        self.held: deque[Line] = deque()
        self.returned = 0
        self.ready = False
        self.overdue = False
        self._room = 1
        self._to_send: deque[memoryview] = deque()
        self._unpacker = talking.Unpacker()
        self._pace = 0.0
        with theirs:
            descriptors = (theirs.fileno(), self.slot.descriptor)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "interactem.runtime.tasks.worker", *map(str, (*descriptors, os.getpid()))],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a kernel prints is not a result
                pass_fds=descriptors,
                start_new_session=True,
            )
        self._send({**request, "own_folder": str(self._folder)})

    # giving

    @property
    def room(self) -> int:
        """How many tasks more it should hold: so many that it never waits for us."""
        return max(0, 2 * self._room - len(self.held)) if self.ready else 0

    def give(self, tasks: Sequence[Line]) -> None:
        self.held.extend(tasks)
        self._send([(number, line) for number, line, _ in tasks])

    def finish(self) -> None:
        """There is nothing more to do."""
        if not self._to_send:
            with suppress(OSError):
                self.channel.shutdown(socket.SHUT_WR)

    @property
    def sending(self) -> bool:
        return bool(self._to_send)

    def push(self) -> None:
        """Send as much as there is room for."""
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):  # that it is gone is heard elsewhere
            while self._to_send:
                sent = self.channel.send(self._to_send[0][: 2**20])
                self._to_send[0] = self._to_send[0][sent:]
                if not self._to_send[0]:
                    self._to_send.popleft()

    def _send(self, value: Any) -> None:
        self._to_send.append(memoryview(talking.pack(value)))
        self.push()

    # hearing

    def hear(self) -> Heard:
        heard = Heard()
        try:
            data = self.channel.recv(2**20)
        except BlockingIOError:
            return heard
        except ConnectionResetError:
            data = b""
        heard.left = not data
        for message in self._unpacker.feed(data):
            if "results" in message:
                heard.returned.append(self._returned(message["results"]))
            elif "ready" in message:
                self.ready = True
            elif message.get("error") or message.get("ended"):
                heard.error = (message.get("code", 1), message.get("error") or message["ended"])
        return heard

    def _returned(self, results: dict[str, Any]) -> Returned:
        lengths = results["lengths"]
        tasks = [self.held.popleft() for _ in lengths]
        self.returned += len(tasks)
        self._pace = (
            results["seconds"] / len(tasks)
            if not self._pace
            else (0.8 * self._pace + 0.2 * results["seconds"] / len(tasks))
        )
        self._room = max(1, min(CHUNK_TASKS, int(CHUNK_SECONDS / max(self._pace, 1e-6)), 2 * self._room))
        return Returned(tasks, lengths, results["statuses"], results["lines"])

    # ends

    def overruns(self) -> bool:
        """Whether the task that it is at has outlasted its limit by so much that it has to be ended."""
        return bool(self.slot.number and self.slot.until) and time.time() > self.slot.until + GRACE_SECONDS

    def culprit(self) -> Line | None:
        """The task that went on when it died. Taken out of what it holds."""
        index = self.slot.number - self.returned - 1
        if self.slot.number == 0 or not 0 <= index < len(self.held):
            return None
        task = self.held[index]
        del self.held[index]
        return task

    def signal(self, number: int) -> None:
        """To all that it has started too where it is to die."""
        with suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            elif self.process.poll() is None:
                self.process.send_signal(number)

    def close(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait()
        self.signal(signal.SIGKILL)  # what it has left behind
        self.channel.close()
        self.slot.close()
        clear_away(self._folder)
        return code


def describe(code: int) -> str:
    """How a process has ended, in words."""
    if code >= 0:
        return f"ended its process with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"

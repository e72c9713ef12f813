"""Running the engines' commands: with their output line by line, and so that all of them can be ended at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

KEPT_LINES = 400
"""How much of a command's output is kept: its end tells why it failed."""
GRACE_SECONDS = 5.0


Halt = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. `lines` are the last ones of its output and its errors together."""

    code: int
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a short command says."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of its errors, which has the reason."""
        return next((line for line in reversed(self.err.splitlines()) if line.strip()), "it says nothing")


class Cancelled(Exception):
    """The commands were ended by `cancel`."""


class Commands:
    """Runs commands, from any thread. After `cancel` none is started, and none is left."""

    def __init__(self) -> None:
        self._running: dict[subprocess.Popen[str], Halt] = {}
        self._lock = Lock()
        self._cancelled = False

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        tell: Callable[[str], None] = lambda line: None,
        halt: Halt = lambda: False,
    ) -> Finished:
        """Run a command to its end; `tell` gets each line of its output and errors. Raises `Cancelled`.

        `cancel` calls `halt` again and again until the command has ended by itself; where that returns false, or
        does not help, it sends signals.
        """
        process = self._start(command, environment, halt)
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        try:
            with process:
                for line in process.stdout or ():
                    lines.append(line.rstrip())
                    tell(lines[-1])
        finally:
            with self._lock:
                self._running.pop(process)
        if self._cancelled:
            raise Cancelled
        return Finished(process.returncode, tuple(lines))

    def _start(self, command: Sequence[str], environment: Mapping[str, str], halt: Halt) -> subprocess.Popen[str]:
        with self._lock:
            if self._cancelled:
                raise Cancelled
            # a session of its own: Ctrl-C is ours to pass on, and ends what the command has started too
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running[process] = halt
            return process

    def cancel(self) -> None:
        """End all commands that run."""
        with self._lock:
            self._cancelled = True
            running = dict(self._running)
        for process, halt in running.items():
            _halt(process, halt)
        for process in running:
            _signal(process, signal.SIGTERM)
        for process in running:
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)


def _halt(process: subprocess.Popen[str], halt: Halt) -> None:
    end = time.monotonic() + GRACE_SECONDS
    while process.poll() is None and time.monotonic() < end and halt():
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def ask_all(*commands: Sequence[str]) -> list[Answer]:
    """What short commands say, run side by side."""
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(ask, commands))


def ask(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Answer:
    """What a short command says; exit code 127 where there is no such command."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        return Answer(127, "", f"{command[0]}: command not found")
    return Answer(done.returncode, done.stdout, done.stderr)

"""Programs that are started, waited for, and ended when they take too long."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02
GRACE_SECONDS = 10.0
WORDS = 10
"""How many lines of a program that failed are told."""


class ProgramError(RuntimeError):
    """A program failed, or did not end in its time. `out` is what it printed, `words` what it said last."""

    def __init__(self, command: Sequence[str], reason: str, words: str, out: str = "") -> None:
        super().__init__(f"{' '.join(command)}: {reason}" + (f"\n{words}" if words else ""))
        self.command = tuple(command)
        self.reason = reason
        self.words = words
        self.out = out


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended well. `cpu_seconds` counts all the processes that it started and waited for.

    `started` is the reading of `time.monotonic()` just before; on Linux and macOS all processes share that clock.
    """

    out: str
    started: float
    cpu_seconds: float


def run(
    command: Sequence[str], *, folder: Path, limit: float, watch: Callable[[int], None] = lambda pid: None
) -> Finished:
    """Run a program to its end. `watch` is called with its id again and again meanwhile.

    After `limit` seconds it is asked to end, then ended. Raises `ProgramError` then, and where it fails.
    """
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as out_file, err.open("wb") as err_file:
        started = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out_file, stderr=err_file, start_new_session=True
        )
    try:
        cpu_seconds = _wait(process, started + limit, watch)
    finally:
        if process.returncode is None:
            _end(process)
    printed = out.read_text(errors="replace")
    if cpu_seconds is not None and process.returncode == 0:
        return Finished(printed, started, cpu_seconds)
    reason = f"did not end within {limit:g} s" if cpu_seconds is None else f"ended with {process.returncode}"
    raise ProgramError(command, reason, last_lines(err.read_text(errors="replace") or printed), printed)


def last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-WORDS:])


def _wait(process: subprocess.Popen[bytes], until: float, watch: Callable[[int], None]) -> float | None:
    """Its CPU time in seconds, once it has ended; None when the time is up."""
    while time.monotonic() < until:
        # not Popen.wait: only this tells what this one program and its children used
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime
        watch(process.pid)
        time.sleep(POLL_SECONDS)
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # a run that drains too long stops now
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError, PermissionError):  # its session: nobody of it stays
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

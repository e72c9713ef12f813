"""What is decided about workers: when each is started, what follows from its end, and the exit code of them all.

Pure functions: `supervising` brings the facts and acts on the answers.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from interactem.engine.decisions import restart_delay

Reaction = Literal["ignore", "shutdown"]
Stream = Literal["stdout", "stderr"]

MOST = 255
"""The highest exit code that a process can have."""
SETTLED_SECONDS = 60.0
"""A worker that lived so long has come through: the delays before its restarts begin anew."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How workers are supervised. `restarts` of each that fails, None for any number."""

    workers: int = 1
    restarts: int | None = 0
    success: Reaction = "ignore"
    failure: Reaction = "ignore"
    stagger: float = 0.0

    def starts_at(self, rank: int) -> float:
        """Seconds from the beginning to a worker's first start."""
        return rank * self.stagger


def parse_restart(text: str) -> int | None:
    """`never`, `always` or a number as the number of restarts, None for any. Raises `ValueError`."""
    words = {"never": 0, "always": None}
    if text in words:
        return words[text]
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is not a restart policy: give never, always or a number of times")
    return int(text)


def exit_status(code: int) -> int:
    """The code of a process, negative for a signal, as a shell tells it: 128 and the signal's number."""
    return code if code >= 0 else 128 - code


def describe(code: int) -> str:
    """A code, negative for a signal, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-code}"


@dataclass(slots=True)
class Record:
    """What is known about one worker. `code` is that of its last end; `early` counts its early failures in a row."""

    rank: int
    incarnation: int = 0
    code: int | None = None
    early: int = 0

    @property
    def restarts(self) -> int:
        return max(0, self.incarnation - 1)


@dataclass(frozen=True, slots=True)
class Next:
    """What follows from a worker's end: it is started again after `delay` seconds, is done, or ends all the others."""

    action: Literal["restart", "done", "shutdown"]
    delay: float = 0.0


def after_end(policy: Policy, worker: Record, code: int, seconds: float, *, ending: bool) -> Next:
    """What follows when a worker ends with `code` after so many `seconds`. Counts it in `worker`.

    `ending` says that all of them are to end. One that a hang-up killed was to end too.
    """
    worker.code = code
    if ending or code == -signal.SIGHUP:
        return Next("done")
    if code == 0:
        return Next("shutdown" if policy.success == "shutdown" else "done")
    worker.early = 1 if seconds >= SETTLED_SECONDS else worker.early + 1
    if policy.restarts is None or worker.restarts < policy.restarts:
        return Next("restart", restart_delay(worker.early))
    return Next("shutdown" if policy.failure == "shutdown" else "done")


def exit_code(codes: Iterable[int | None], decisive: int | None) -> int:
    """The exit code of the supervisor, from the last code of each worker that was started.

    `decisive` is the code of the worker that ended all others, if one did. A sum never wraps around to 0.
    """
    if decisive is not None:
        return exit_status(decisive)
    return min(MOST, sum(exit_status(code) for code in codes if code is not None))


def worker_environment(rank: int, workers: int) -> dict[str, str]:
    """What tells a worker which one it is, from 0, of how many."""
    return {
        "SDRUN_MODE": "true",
        "SDRUN_WORLD_SIZE": str(workers),
        "SDRUN_RANK": str(rank),
        "SDRUN_LOCAL_RANK": str(rank),
    }


def worker_name(worker: Record) -> str:
    """A worker and which of its incarnations it is, from 1."""
    return f"worker-{worker.rank}#{worker.incarnation}"


def prefix(worker: Record, stream: Stream) -> bytes:
    """What each line of a worker begins with."""
    return f"[{worker_name(worker)}][{stream}] ".encode()

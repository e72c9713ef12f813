"""What the supervisor decides: who is told that the stream has ended, and what follows from a replica's death.

Pure functions: the supervisor brings the facts and acts on the answers.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from interactem.engine.launchers import Exit
from interactem.engine.plan import Plan, PlannedOperator

State = Literal["starting", "running", "draining", "completed", "stopped", "failed"]
"""Of a run."""
ENDED: frozenset[State] = frozenset({"completed", "stopped", "failed"})

RESTART_FIRST = 0.05
RESTART_MOST = 10.0
IN_CALL_MOST = 1.0
KILLED_MOST = 0.05
DEATHS_WITHOUT_PROGRESS = 5
KILLS_WITHOUT_PROGRESS = 1000
"""How often a replica may be killed in a row: that is somebody's doing, and no fault of its own."""
KILLS_PER_ATTEMPT = 10
"""So many deaths by `kill -9` during one message count as one attempt at it: they may well be somebody's doing."""
_ASKED = f"its process was asked to end, {KILLS_PER_ATTEMPT} times while the kernel had this message"
OVERTAKEN = 6
"""The exit code of a replica that was stopped for so long that others have done its work."""
DOES_NOT_LOAD = 3
_FATAL = {2: "its settings are wrong", DOES_NOT_LOAD: "its run.py does not load", 5: "it failed for the last time"}


def has_ended(operator: PlannedOperator, finished: set[tuple[int, int]]) -> bool:
    """Whether all replicas of the operator are done. `finished` has (operator, replica)."""
    return all((operator.index, replica) in finished for replica in range(operator.replicas))


def about_to_end(plan: Plan, finished: set[tuple[int, int]], told: set[int]) -> list[PlannedOperator]:
    """The operators to which nothing more will be sent: they finish once they have worked off what is there.

    Side inputs go on until all others are done.
    """
    others_done = all(has_ended(o, finished) for o in plan.operators if not o.assignment.is_side_input)
    return [
        operator
        for operator in plan.operators
        if operator.index not in told
        and (others_done if operator.assignment.is_side_input else bool(operator.assignment.inputs))
        and all(has_ended(before, finished) for before in plan.upstream(operator))
    ]


def is_drained(outstanding: Mapping[int, int], operator: PlannedOperator) -> bool:
    """Whether nothing waits, is held, or is to be tried again on any of the operator's edges. By edge: how many."""
    return all(outstanding.get(entry.edge, 1) == 0 for entry in operator.assignment.inputs)


@dataclass(frozen=True, slots=True)
class Death:
    """What follows from the death of a replica.

    `restart` after `delay` seconds, or the run fails for the `reason`. `attempt` says that the message which the
    kernel was given is to blame, and `error` what to write on it.
    """

    restart: bool
    reason: str
    delay: float = 0.0
    attempt: bool = False
    error: str = ""


def after_death(
    exit: Exit, *, in_call: bool, kills: int, deaths: int, timeout: float | None, attempts: int = 0, asked: bool = False
) -> Death:
    """`kills`: how often this replica was killed during this very message; `deaths`: in a row without progress.

    `asked` says that it was asked to end in the call, and did.

    `attempts` are those that a call has which is of no message: a source's, or the one at the end of the stream.
    """
    reason = str(exit)
    if in_call:
        # the message answers for it, and its attempts are bounded: the restart policy is not concerned. Exit codes
        # have no meaning here: whoever ends a process in its call is the kernel
        blamed = not (asked or is_kill(exit)) or kills >= KILLS_PER_ATTEMPT
        error = _ASKED if asked else _kernel_error(exit, timeout)
        return Death(True, reason, restart_delay(deaths, IN_CALL_MOST), blamed, error)
    if exit.code in _FATAL:
        return Death(False, f"{_FATAL[exit.code]} ({reason})")
    if exit.code == OVERTAKEN:
        return Death(True, reason)
    if exit.signal == signal.SIGALRM and timeout is not None:
        late = f"it took longer than its limit of {timeout:g} s"
        if 0 < attempts <= deaths + 1:
            return Death(False, f"{late}, {deaths + 1} times in a row")
        return Death(True, late, restart_delay(deaths, IN_CALL_MOST))
    most = KILLS_WITHOUT_PROGRESS if is_kill(exit) else DEATHS_WITHOUT_PROGRESS
    if deaths >= most:
        return Death(False, f"it died {deaths} times in a row without any progress, the last time with {reason}")
    return Death(True, reason, restart_delay(deaths, KILLED_MOST if is_kill(exit) else RESTART_MOST))


def restart_delay(deaths: int, most: float = RESTART_MOST) -> float:
    """Seconds to wait before a replica is started again that had died so often in a row before this death."""
    return min(most, RESTART_FIRST * 2.0 ** min(deaths - 1, 20)) if deaths else 0.0


def is_kill(exit: Exit) -> bool:
    """Whether somebody else has ended it, so that neither it nor its message is to blame."""
    return exit.signal in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT) and not exit.out_of_memory


def _kernel_error(exit: Exit, timeout: float | None) -> str:
    if exit.signal == signal.SIGALRM and timeout is not None:
        return f"TimeoutError: the kernel took longer than its limit of {timeout:g} s; its process was ended"
    return f"the kernel ended its process ({exit})"

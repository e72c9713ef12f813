"""The order of an operator's lifecycle: start, run any number of times, stop, cleanup; cancel in between.

`begin` and `end` decide; they know nothing of operators.

| step | is possible | and leads to |
|---|---|---|
| start | once, first | started, or failed |
| run | while it is started | started, also where it raises |
| stop | once, while it is started | stopped, or failed |
| cleanup | once, where it is stopped or failed | ended |
| cancel | from the beginning of start to the end of stop | what it was |
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from interactem.runtime.errors import LifecycleError

__all__ = ["State", "Step", "begin", "end"]

Step = Literal["start", "run", "stop", "cleanup", "cancel"]


class State(StrEnum):
    """Where an operator is in its lifecycle, in words that complete "it is …"."""

    NEW = "not started"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    CLEANING = "cleaning up"
    ENDED = "ended"


_BEGIN: dict[Step, dict[State, State]] = {
    "start": {State.NEW: State.STARTING},
    "run": {State.STARTED: State.STARTED},
    "stop": {State.STARTED: State.STOPPING},
    "cleanup": {State.STOPPED: State.CLEANING, State.FAILED: State.CLEANING},
    "cancel": {state: state for state in (State.STARTING, State.STARTED, State.STOPPING)},
}
_END = {State.STARTING: State.STARTED, State.STOPPING: State.STOPPED, State.CLEANING: State.ENDED}


def begin(state: State, step: Step) -> State:
    """The state while the step goes on. Raises `LifecycleError` where it is not its turn."""
    try:
        return _BEGIN[step][state]
    except KeyError:
        raise LifecycleError(step, state, tuple(map(str, _BEGIN[step]))) from None


def end(state: State, *, failed: bool = False) -> State:
    """The state after the step that went on. A failed run leaves the operator started, a failed cleanup ended."""
    if failed and state in (State.STARTING, State.STOPPING):
        return State.FAILED
    return _END.get(state, state)

"""Who calls the kernel, by its mode and kind."""

from __future__ import annotations

from interactem.runtime.calls import Caller
from interactem.runtime.context import Context
from interactem.runtime.flight.coroutines import Coroutines
from interactem.runtime.flight.inline import Inline
from interactem.runtime.flight.items import Land, Workers
from interactem.runtime.flight.processes import Processes
from interactem.runtime.flight.stages import Staged
from interactem.runtime.flight.threads import Threads

__all__ = ["limit_of", "workers_for"]


def limit_of(caller: Caller) -> float:
    """Seconds after which a flight ends the process; 0 where nothing does, or somebody else does."""
    mode = caller.kernel.mode
    watched = mode.threads or mode.concurrency or caller.kernel.stages is not None
    return caller.hard_limit if watched else 0.0


def workers_for(caller: Caller, context: Context, land: Land) -> Workers:
    """`caller` has the kernel and its time limit."""
    kernel, timeout = caller.kernel, caller.timeout
    mode = kernel.mode
    if kernel.stages is not None:
        return Staged(kernel.stages, context, land, timeout)
    if mode.processes:
        return Processes(kernel, context, land, timeout, caller.hard_limit)
    if mode.threads:
        return Threads(kernel, context, land)
    if mode.concurrency:
        return Coroutines(kernel, context, land, timeout)
    return Inline(caller, context, land)

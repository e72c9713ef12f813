"""Signals: Ctrl-C drains and, the second time, stops now; `SIGTERM` drains and stops at the end of the grace period."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from interactem.engine.supervisor import GRACE_SECONDS, Supervisor


@contextmanager
def interrupts(tell: Callable[[str], None] = lambda text: None) -> Iterator[Callable[[Supervisor], None]]:
    """Gives what `execute` is to call with the supervisor. Before that, a signal cancels the current task.

    Needs a running event loop in the main thread.
    """
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    supervisors: list[Supervisor] = []
    asked: list[int] = []

    def on_signal(number: int) -> None:
        asked.append(number)
        if not supervisors:
            if main is not None:
                main.cancel()
            return
        supervisor, name = supervisors[0], signal.Signals(number).name
        if len(asked) > 1:
            tell("stopping now")
            supervisor.stop(f"interrupted by {name}, at once")
            return
        tell("draining: what is under way is worked off; once more to stop now")
        supervisor.drain(f"interrupted by {name}", grace=GRACE_SECONDS if number == signal.SIGTERM else None)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield supervisors.append
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

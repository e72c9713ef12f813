"""Signals: Ctrl-C drains and, the second time, stops now; `SIGTERM` (and `SIGHUP`) drain, and stop after the grace."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from interactem.engine.supervisor import GRACE_SECONDS, Supervisor

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        # a person in front of it can say once more that it takes too long
        supervisor.drain(f"interrupted by {name}", grace=None if number == signal.SIGINT else GRACE_SECONDS)

    # with nohup, a terminal that is closed is no reason to end
    heard = [number for number in SIGNALS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield supervisors.append
    finally:
        for number in heard:
            loop.remove_signal_handler(number)

"""Signals that cancel what goes on in the main thread, at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["SIGNALS", "Cancelling"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Cancelling:
    """`cancel` is told first, then what goes on is interrupted by `KeyboardInterrupt`: only what is a step.

    Once it is `asked`, no further step begins. The second signal ends the process, as if there were no handler.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.asked = False
        self._cancel = cancel
        self._on = False

    def listen(self) -> None:
        for number in SIGNALS:
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
                signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Something that can be cancelled. Raises `KeyboardInterrupt` where it is, or was before."""
        if self.asked:
            raise KeyboardInterrupt
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def interrupt(self) -> None:
        """In a signal handler: cancel the step that goes on, if there is one."""
        if self._on:
            self._on = False
            self._cancel()
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        for each in SIGNALS:
            if signal.getsignal(each) == self._on_signal:
                signal.signal(each, signal.SIG_DFL)
        self.interrupt()

"""Waiting for room in the arena, in the middle of a call: neither its time nor an attempt at its message."""

from __future__ import annotations

from collections.abc import Callable

from interactem.runtime.calls import Caller
from interactem.runtime.hearing import Hearing
from interactem.runtime.outbox import Outbox
from interactem.runtime.reports import Reporter
from interactem.runtime.slot import Slot


class Waiting:
    """While it is entered, the call's time limit does not run, and a death of the process blames no message."""

    def __init__(self, caller: Caller, slot: Slot, reporter: Reporter, outbox: Outbox, hearing: Hearing) -> None:
        self._caller = caller
        self._slot = slot
        self._reporter = reporter
        self._outbox = outbox
        self._hearing = hearing
        self._before = 0, False

    def __enter__(self) -> Callable[[], bool]:
        self._before = self._slot.current[0], self._caller.armed
        self._caller.disarm()
        self._slot.current[0] = 0
        return self._goes_on

    def __exit__(self, *error: object) -> None:
        self._slot.current[0], armed = self._before
        if armed:
            self._caller.arm()

    def _goes_on(self) -> bool:
        """Raises what the transport failed with."""
        self._outbox.check()
        self._reporter.now_and_then()
        return not self._hearing.stopped

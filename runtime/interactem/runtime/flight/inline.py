"""One call at a time, in the replica's own thread."""

from __future__ import annotations

import asyncio
from typing import Any

from interactem.runtime.calls import Caller
from interactem.runtime.context import Context
from interactem.runtime.current import current
from interactem.runtime.flight.items import Flight, Land
from interactem.runtime.flight.seats import Seat

__all__ = ["Inline"]


class Inline:
    """`caller` has the kernel, and its time limit, which ends the process. There is a state, as without a mode."""

    def __init__(self, caller: Caller, context: Context, land: Land) -> None:
        self._caller = caller
        self._context = context
        self._land = land
        self._runner: asyncio.Runner | None = None

    @property
    def room(self) -> int:
        return 1

    def start(self) -> None:
        self._seat = Seat(self._caller.kernel, self._context, "", self._caller.timeout)

    def begin(self, flight: Flight) -> None:
        flight.undo = self._context._mark()
        self._caller.arm()
        token = current.set(self._seat.context)
        try:
            self._seat.call(flight, self._run if self._caller.kernel.coroutine else None)
        finally:
            current.reset(token)
            self._caller.disarm()
        self._land(flight)

    def _run(self, coroutine: Any) -> Any:
        if self._context.loop is not None:
            return self._context.loop.run(coroutine)
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()
            self._runner = None

"""Calls of coroutines in one event loop, several at once."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from interactem.runtime.context import Context
from interactem.runtime.current import current
from interactem.runtime.flight.items import Flight, Land
from interactem.runtime.flight.seats import Seat
from interactem.runtime.kernels import Kernel
from interactem.runtime.lending import lender

__all__ = ["Coroutines"]


class Coroutines:
    """Up to `kernel.mode.concurrency` at once, in the loop that the kernel's dependencies have too."""

    def __init__(self, kernel: Kernel, context: Context, land: Land, timeout: float | None) -> None:
        self._kernel = kernel
        self._context = context
        self._land = land
        self._timeout = timeout
        self._free: list[Seat] = []
        self._running: dict[int, Future[Any]] = {}  # a task that nobody refers to may be collected

    @property
    def room(self) -> int:
        for number in [number for number, future in self._running.items() if future.done()]:
            del self._running[number]
        return len(self._free)

    def start(self) -> None:
        mode = self._kernel.mode
        self._free = [Seat(self._kernel, self._context, str(mode), self._timeout) for _ in range(mode.concurrency)]

    def begin(self, flight: Flight) -> None:
        loop = self._context.loop
        if loop is None:
            raise RuntimeError("there is no event loop for coroutines that run at once")
        self._running[id(flight)] = loop.start(self._call(flight, self._free.pop()))

    async def _call(self, flight: Flight, seat: Seat) -> None:
        current.set(seat.context)
        lender.set(None)  # an arena is the replica's thread's alone
        await seat.call_later(flight)
        self._free.append(seat)
        self._land(flight)

    def close(self) -> None:
        self._free = []

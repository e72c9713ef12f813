"""Calls in threads of their own."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from interactem.runtime.context import Context
from interactem.runtime.current import current
from interactem.runtime.flight.items import Flight, Land
from interactem.runtime.flight.seats import Seat
from interactem.runtime.kernels import Kernel

__all__ = ["Threads"]


class Threads:
    """`kernel.mode.threads` of them. A thread whose call does not end does not keep the process from ending."""

    def __init__(self, kernel: Kernel, context: Context, land: Land) -> None:
        self._kernel = kernel
        self._context = context
        self._land = land
        self._flights: SimpleQueue[Flight | None] = SimpleQueue()
        self._width = kernel.mode.threads
        self._begun = 0
        self._landed = [0] * self._width  # of each thread, so that no number is changed by two of them
        self._threads: list[threading.Thread] = []

    @property
    def room(self) -> int:
        return self._width - (self._begun - sum(self._landed))

    def start(self) -> None:
        for number in range(self._width):
            seat = Seat(self._kernel, self._context, str(self._kernel.mode), None)
            thread = threading.Thread(target=self._work, args=(number, seat), name=f"kernel-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def begin(self, flight: Flight) -> None:
        self._begun += 1
        self._flights.put(flight)

    def _work(self, number: int, seat: Seat) -> None:
        current.set(seat.context)
        while (flight := self._flights.get()) is not None:
            seat.call(flight)
            self._landed[number] += 1
            self._land(flight)
            del flight  # what is in it may lie in shared memory, which nobody gets back meanwhile

    def close(self) -> None:
        for _ in self._threads:
            self._flights.put(None)

"""Writing to a stream that may be slow, or that nobody reads, without keeping anything else waiting."""

from __future__ import annotations

import asyncio
import os
import queue
import select
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

_QUEUE = 64
_LOOK_SECONDS = 0.005


class Printer:
    """Writes to a file descriptor from a thread of its own.

    `broken` is called once, with the reason, when nobody reads it any more; what comes after that is dropped.
    """

    def __init__(self, descriptor: int, broken: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._broken = broken
        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUE)
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        Thread(target=self._run, name=f"print to {descriptor}", daemon=True).start()

    async def write(self, data: bytes | None) -> None:
        """Write it as one piece, once there is room: whoever prints much waits here, and others do not."""
        while not self._ended.is_set():
            try:
                self._queue.put_nowait(data)
                return
            except queue.Full:
                await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Until all is written."""
        await self.write(None)
        await self._ended.wait()

    def _run(self) -> None:
        try:
            while (data := self._queue.get()) is not None:
                _write_all(self._descriptor, data)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._tell(lambda: self._broken(reason))
        self._tell(self._ended.set)

    def _tell(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop did not wait for us
            self._loop.call_soon_threadsafe(what)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # a terminal that another program has changed
            select.select([], [descriptor], [])

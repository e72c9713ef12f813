"""An event loop that runs in a thread of its own, also while no kernel is called."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any


class Loop:
    """Runs coroutines for another thread, and in between whatever they have left running. `close` cancels that."""

    def __init__(self, name: str = "kernel") -> None:
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._begun.wait()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What the coroutine returns. Raises what it raises, what ends a process included."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(_survived(coroutine), self._loop)
        try:
            value = future.result()
        except BaseException:
            future.cancel()  # only we are interrupted; it must not go on by itself
            raise
        if isinstance(value, _Fatal):
            raise value.error
        return value

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Have the coroutine run by itself."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._live())

    async def _live(self) -> None:
        self._end = asyncio.Event()
        self._begun.set()
        await self._end.wait()


class _Fatal:
    def __init__(self, error: BaseException) -> None:
        self.error = error


async def _survived(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The loop must outlast what would end it, or whoever waits for the answer would wait for ever."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        return _Fatal(error)

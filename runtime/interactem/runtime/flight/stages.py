"""The stages of a staged kernel: each has its own threads, or its own share of the event loop."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from interactem.runtime.calls import limited
from interactem.runtime.context import Context
from interactem.runtime.current import current
from interactem.runtime.failures import RAISED
from interactem.runtime.flight.items import Flight, Land
from interactem.runtime.kinds.staged import Stage, Stages
from interactem.runtime.lending import lender

__all__ = ["Staged"]


class _Passage:
    """A message on its way through the stages, with its context, and what the last of them has returned."""

    def __init__(self, flight: Flight, context: Context) -> None:
        self.flight = flight
        self.context = copy.copy(context)
        self.context.concurrent = "@operator.staged"
        self.context._folder = None
        [item] = flight.items
        self.context._message = item.message
        [self.context.attempt] = flight.attempts
        self.value: Any = item.message

    def begin(self, stage: Stage) -> Any:
        """Call the stage: what it returns, a coroutine too."""
        current.set(self.context)
        self.flight.watch.start()
        return stage.kernel.function(*stage.arguments(self.value, self.flight.parameters, self.context))

    def end(self) -> None:
        self.flight.seconds += self.flight.watch.stop()


Next = Callable[[_Passage], None]
"""Takes a passage on from a stage."""


class Staged:
    """Each message goes from stage to stage by itself; the replica's thread gets it back at the end."""

    def __init__(self, stages: Stages, context: Context, land: Land, timeout: float | None) -> None:
        self._stages = stages
        self._context = context
        self._land = land
        self._timeout = timeout
        self._begun = 0
        self._landed = 0
        self._lock = threading.Lock()
        self._pools: list[_Threads | _Coroutines] = []

    @property
    def room(self) -> int:
        return self._stages.most - (self._begun - self._landed)

    def start(self) -> None:
        then: Next = self._end
        for stage in reversed(self._stages.stages):
            pool: _Threads | _Coroutines
            if stage.kernel.coroutine:
                pool = _Coroutines(stage, self._context, then, self._end, self._timeout)
            else:
                pool = _Threads(stage, then, self._end)
            self._pools.insert(0, pool)
            then = pool.put

    def begin(self, flight: Flight) -> None:
        self._begun += 1
        self._pools[0].put(_Passage(flight, self._context))

    def _end(self, passage: _Passage) -> None:
        """It has left the last stage, or failed in any of them."""
        flight, context = passage.flight, passage.context
        failed = bool(flight.outcomes) or flight.fatal is not None
        if not failed:
            flight.outcomes = [passage.value]
        if failed and self._stages.keep_folders and (kept := context.keep_folder()) is not None:
            context.logger.warning("message %s: its working folder is kept: %s", context.message_id, kept)
        context.remove_folder()
        passage.value = context._message = None
        with self._lock:
            self._landed += 1
        self._land(flight)

    def close(self) -> None:
        for pool in self._pools:
            pool.close()


class _Threads:
    def __init__(self, stage: Stage, then: Next, failed: Next) -> None:
        self._stage = stage
        self._then = then
        self._failed = failed
        self._passages: SimpleQueue[_Passage | None] = SimpleQueue()
        for number in range(stage.concurrency):
            threading.Thread(target=self._work, name=f"{stage.name}-{number}", daemon=True).start()

    def put(self, passage: _Passage) -> None:
        self._passages.put(passage)

    def _work(self) -> None:
        while (passage := self._passages.get()) is not None:
            go = self._then
            try:
                with passage.flight.within():
                    passage.value = passage.begin(self._stage)
            except RAISED as error:
                passage.flight.fail(error)
                go = self._failed
            except BaseException as error:
                passage.flight.fatal = error
                go = self._failed
            passage.end()
            current.set(None)
            go(passage)
            del passage

    def close(self) -> None:
        for _ in range(self._stage.concurrency):
            self._passages.put(None)


class _Coroutines:
    def __init__(self, stage: Stage, context: Context, then: Next, failed: Next, timeout: float | None) -> None:
        if context.loop is None:
            raise RuntimeError("there is no event loop for stages that are coroutines")
        self._loop = context.loop
        self._stage = stage
        self._then = then
        self._failed = failed
        self._timeout = timeout
        self._room = asyncio.Semaphore(stage.concurrency)
        self._running: set[Future[Any]] = set()

    def put(self, passage: _Passage) -> None:
        running = self._loop.start(self._call(passage))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _call(self, passage: _Passage) -> None:
        lender.set(None)
        go = self._then
        async with self._room:
            try:
                with passage.flight.within():
                    coroutine = passage.begin(self._stage)
                    passage.value = await (coroutine if self._timeout is None else limited(coroutine, self._timeout))
            except RAISED as error:
                passage.flight.fail(error)
                go = self._failed
            except BaseException as error:
                passage.flight.fatal = error
                go = self._failed
            passage.end()
        go(passage)

    def close(self) -> None:
        """What still runs ends with the loop."""

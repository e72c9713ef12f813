"""Seats: a context of its own for each of the calls that go on at once."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

from interactem.runtime.calls import limited
from interactem.runtime.context import Context
from interactem.runtime.failures import RAISED
from interactem.runtime.flight.items import Flight
from interactem.runtime.flight.watch import Watch
from interactem.runtime.kernels import Kernel
from interactem.runtime.kinds.batch import flat, gathered, paired
from interactem.runtime.messages import BytesMessage
from interactem.runtime.typed_parameters import TypedParameters

__all__ = ["Seat", "handed"]


class Seat:
    """Calls the kernel for one flight after the other, with a copy of the replica's context.

    `how` says why there can be no state; without it the context is the replica's own. What is raised, or returned in an
    exception's place, is noted in the flight.
    """

    def __init__(self, kernel: Kernel, context: Context, how: str, timeout: float | None) -> None:
        self.context = copy.copy(context) if how else context
        self.context.concurrent = how
        self.context._folder = None
        self._batches = kernel.batching is not None
        self._kernel = kernel if kernel.batching is None else kernel.batching.kernel
        self._timeout = timeout
        self._typed = None if kernel.model is None else TypedParameters(kernel.model)

    def call(self, flight: Flight, run: Callable[[Any], Any] | None = None) -> None:
        """Of a plain function; of a coroutine where somebody says how it is `run`."""
        self._sit(flight)
        messages, parameters = flight.messages, flight.parameters
        try:
            with flight.within():
                if flight.parts is not None:
                    self.stream(messages, parameters, flight.watch, partial(handed, flight), run)
                    flight.outcomes = [None]
                elif run is not None:
                    flight.outcomes = run(self.answer_later(messages, parameters))
                else:
                    flight.outcomes = self.answer(messages, parameters)
        except RAISED as error:
            flight.fail(error)
        except BaseException as error:
            flight.fatal = error
        finally:
            self._rise(flight)

    async def call_later(self, flight: Flight) -> None:
        """Of a coroutine, in its event loop."""
        self._sit(flight)
        try:
            with flight.within():
                if flight.parts is None:
                    flight.outcomes = await self.answer_later(flight.messages, flight.parameters)
                else:
                    await self._stream_later(flight)
                    flight.outcomes = [None]
        except RAISED as error:
            flight.fail(error)
        except BaseException as error:
            flight.fatal = error
        finally:
            self._rise(flight)

    def answer(self, messages: Sequence[BytesMessage], parameters: Any) -> list[Any]:
        """A result for each message. Raises what the kernel raises."""
        returned = self._called(messages, parameters)
        return self._results(messages, list(returned) if self._kernel.generator else returned)

    async def answer_later(self, messages: Sequence[BytesMessage], parameters: Any) -> list[Any]:
        returned = gathered(self._called(messages, parameters), generator=self._kernel.generator)
        return self._results(messages, await (returned if self._timeout is None else limited(returned, self._timeout)))

    def stream(
        self,
        messages: Sequence[BytesMessage],
        parameters: Any,
        watch: Watch,
        hand: Callable[[Any], bool],
        run: Callable[[Any], Any] | None,
    ) -> None:
        """Hand over what the kernel yields, one by one, until it ends or `hand` says that no more is wanted.

        An asynchronous generator is `run` from one to the next. Raises what the kernel and `hand` raise.
        """
        yielded: Generator[Any, None, None] = self._called(messages, parameters)
        with closing(yielded if run is None else self._stepped(yielded, watch, run)) as parts:
            for part in parts:
                if not hand(part):
                    return

    def _stepped(self, yielded: Any, watch: Watch, run: Callable[[Any], Any]) -> Generator[Any, None, None]:
        try:
            with suppress(StopAsyncIteration):
                while True:
                    yield run(self._limited(anext(yielded), watch))
        finally:
            run(yielded.aclose())

    async def _stream_later(self, flight: Flight) -> None:
        yielded = self._called(flight.messages, flight.parameters)
        try:
            with suppress(StopAsyncIteration):
                while await _handed_later(flight, await self._limited(anext(yielded), flight.watch)):
                    pass
        finally:
            await yielded.aclose()

    def _limited(self, step: Awaitable[Any], watch: Watch) -> Awaitable[Any]:
        """What a generator does up to what it yields next, within what is left of the call's time."""
        timeout = self._timeout
        return step if timeout is None else limited(step, timeout - watch.seconds, timeout)

    def answer_poke(self, parameters: Any, run: Callable[[Any], Any]) -> Any:
        """What the kernel makes without a message, for the trigger that the context names."""
        returned = self._called([], parameters)
        if self._kernel.coroutine:
            returned = run(gathered(returned, generator=self._kernel.generator))
        return flat(returned) if self._kernel.generator else returned

    def take(self, messages: Sequence[BytesMessage], attempts: list[int], trigger: str | None = None) -> None:
        """The context is about these from now on."""
        self.context.attempt, self.context._attempts = max(attempts, default=1), attempts
        self.context.trigger = trigger
        self.context._message = None if self._batches or not messages else messages[0]

    def leave(self) -> None:
        self.context.remove_folder()
        self.context._message = self.context.trigger = None
        self.context._attempts = []

    def _sit(self, flight: Flight) -> None:
        self.take(flight.messages, flight.attempts)
        flight.watch.start()

    def _rise(self, flight: Flight) -> None:
        flight.seconds = flight.watch.stop()
        self.leave()

    def _called(self, messages: Sequence[BytesMessage], parameters: Any) -> Any:
        parameters = parameters if self._typed is None else self._typed(parameters)
        inputs: Any = list(messages) if self._batches else messages[0] if messages else None
        return self._kernel.function(*self._kernel.arguments(inputs, parameters, self.context))

    def _results(self, messages: Sequence[BytesMessage], returned: Any) -> list[Any]:
        if self._batches:
            return paired(messages, returned, generator=self._kernel.generator)
        return [flat(returned) if self._kernel.generator else returned]


def handed(flight: Flight, part: Any) -> bool:
    """Hand over what was yielded, and wait until more can be. Returns whether more is wanted."""
    parts = flight.parts
    if parts is None:
        return False
    if not parts.add(part):
        room = threading.Event()
        with flight.watch.standing():
            parts.when_room(room.set)
            room.wait()
    return not parts.ended


async def _handed_later(flight: Flight, part: Any) -> bool:
    """The same in an event loop, where others go on meanwhile."""
    parts = flight.parts
    if parts is None:
        return False
    if not parts.add(part):
        room, loop = asyncio.Event(), asyncio.get_running_loop()
        with flight.watch.standing():
            parts.when_room(lambda: loop.call_soon_threadsafe(room.set))
            await room.wait()
    return not parts.ended

"""Seats: a context of its own for each of the calls that go on at once."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Sequence
from typing import Any

from interactem.runtime.calls import limited
from interactem.runtime.context import Context
from interactem.runtime.flight.items import Flight
from interactem.runtime.kernels import Kernel
from interactem.runtime.kinds.batch import gathered, paired
from interactem.runtime.messages import BytesMessage
from interactem.runtime.typed_parameters import TypedParameters

__all__ = ["Seat"]


class Seat:
    """Calls the kernel for one flight after the other, with a copy of the replica's context.

    `how` says why there can be no state. What is raised, or returned in an exception's place, is noted in the flight.
    """

    def __init__(self, kernel: Kernel, context: Context, how: str, timeout: float | None) -> None:
        self.context = copy.copy(context)
        self.context.concurrent = how
        self.context._folder = None
        self._batches = kernel.batching is not None
        self._kernel = kernel if kernel.batching is None else kernel.batching.kernel
        self._timeout = timeout
        self._typed = None if kernel.model is None else TypedParameters(kernel.model)

    def call(self, flight: Flight) -> None:
        """Of a plain function."""
        self._sit(flight)
        try:
            flight.outcomes = self.answer(flight.messages, flight.parameters)
        except Exception as error:
            flight.fail(error)
        except BaseException as error:
            flight.fatal = error
        finally:
            self._rise(flight)

    async def call_later(self, flight: Flight) -> None:
        """Of a coroutine."""
        self._sit(flight)
        try:
            flight.outcomes = await self.answer_later(flight.messages, flight.parameters)
        except Exception as error:
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

    def take(self, messages: Sequence[BytesMessage], attempt: int) -> None:
        """The context is about these from now on."""
        self.context.attempt = attempt
        self.context._message = None if self._batches else messages[0]

    def leave(self) -> None:
        self.context.remove_folder()
        self.context._message = None

    def _sit(self, flight: Flight) -> None:
        self.take(flight.messages, flight.attempt)
        flight.begun = time.perf_counter()

    def _rise(self, flight: Flight) -> None:
        flight.seconds = time.perf_counter() - flight.begun
        flight.begun = 0.0
        self.leave()

    def _called(self, messages: Sequence[BytesMessage], parameters: Any) -> Any:
        parameters = parameters if self._typed is None else self._typed(parameters)
        inputs: Any = list(messages) if self._batches else messages[0]
        return self._kernel.function(*self._kernel.arguments(inputs, parameters, self.context))

    def _results(self, messages: Sequence[BytesMessage], returned: Any) -> list[Any]:
        if self._batches:
            return paired(messages, returned, generator=self._kernel.generator)
        return [_flat(returned) if self._kernel.generator else returned]


def _flat(parts: Iterable[Any]) -> list[Any]:
    """What a generator has yielded, as what a function returns."""
    flat: list[Any] = []
    for part in parts:
        if isinstance(part, list | tuple):
            flat += part
        elif part is not None:
            flat.append(part)
    return flat

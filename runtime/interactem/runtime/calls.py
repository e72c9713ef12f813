"""Calling a kernel: plain, coroutine or generator, its results come out the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from interactem.runtime.context import Context
from interactem.runtime.errors import PortError, ReturnTypeError
from interactem.runtime.kernels import Kernel
from interactem.runtime.kinds.sinks import Failed
from interactem.runtime.messages import BytesMessage
from interactem.runtime.typed_parameters import TypedParameters


class Caller:
    """Calls one kernel with one context. `close` ends the event loop that coroutines run on.

    `arm(seconds)` starts the hard limit of a call, which ends the process; with 0 it stops it.
    """

    def __init__(
        self,
        kernel: Kernel,
        context: Context,
        ports: tuple[str, ...],
        timeout: float | None = None,
        *,
        arm: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.kernel = kernel
        self.context = context
        self.ports = ports
        self.timeout = timeout
        self._runner: asyncio.Runner | None = None
        self._plain = not (kernel.generator or kernel.coroutine)
        context.timeout = timeout
        # a coroutine is cancelled by its event loop, and a command by its operator; what does not end is ended later
        itself = kernel.coroutine or kernel.grace > 0
        self.hard_limit = (timeout * 1.1 + 1 + kernel.grace if itself else timeout) if timeout else 0.0
        self._arm = arm
        self.armed = False
        self.invoke = self._invocation()
        if kernel.model is not None:
            self.invoke = _with_typed(self.invoke, TypedParameters(kernel.model))

    def call(self, message: BytesMessage | None, parameters: dict[str, Any]) -> list[BytesMessage] | Iterator[Any]:
        """What the kernel makes of `message`: a list, or, for a generator, an iterator of what it yields.

        Raises whatever the kernel raises, `ReturnTypeError` for what is not a message, `PortError` for a port that
        the operator does not have, and `TimeoutError` where a coroutine outlasts the time limit.
        """
        result = self.invoke(message, parameters)
        if not self.kernel.generator:
            return self.checked(result)
        iterator: Iterator[Any] = result
        return iterator

    def _invocation(self) -> Callable[[BytesMessage | None, dict[str, Any]], Any]:
        """The shortest way to call the kernel. What it returns is one message, None, or something for `messages`."""
        function, context = self.kernel.function, self.context
        if not self._plain:
            return self._invoke
        takes = self.kernel.takes
        if takes == ("inputs", "parameters"):
            return function
        if takes == ("inputs",):
            return lambda message, parameters: function(message)
        if takes == ("inputs", "parameters", "context"):
            return lambda message, parameters: function(message, parameters, context)
        return lambda message, parameters: function(*self.kernel.arguments(message, parameters, context))

    def _invoke(self, message: BytesMessage | None, parameters: dict[str, Any]) -> Any:
        result = self.kernel.function(*self.kernel.arguments(message, parameters, self.context))
        if not self.kernel.generator:
            return self._run(result)
        return self._drain(result) if self.kernel.coroutine else result

    def arm(self) -> None:
        """A call begins."""
        if self.hard_limit:
            self._arm(self.hard_limit)
            self.armed = True

    def disarm(self) -> None:
        """It is over."""
        if self.hard_limit:
            self._arm(0)
            self.armed = False

    def messages(self, result: Any) -> Iterable[BytesMessage]:
        """The messages in what `invoke` returned, as the kernel makes them. Raises as `call` does."""
        if not self.kernel.generator:
            return self.checked(result)
        return (message for part in result for message in self.checked(part))

    def checked(self, result: Any) -> list[BytesMessage]:
        """The messages of what a kernel returned or yielded once."""
        if result is None:
            return []
        if isinstance(result, BytesMessage):
            if result.target is not None and result.target not in self.ports:
                raise PortError(result.target, self.ports)
            return [result]
        if isinstance(result, Failed):
            raise result.error()
        if not isinstance(result, (list, tuple)):
            raise ReturnTypeError(result)
        messages: list[BytesMessage] = []
        for item in result:
            if not isinstance(item, BytesMessage):
                raise ReturnTypeError(item)
            messages += self.checked(item)
        return messages

    def _run(self, coroutine: Any) -> Any:
        if self.context.loop is not None:
            return self.context.loop.run(coroutine if self.timeout is None else limited(coroutine, self.timeout))
        if self._runner is None:
            self._runner = asyncio.Runner()
        if self.timeout is None:
            return self._runner.run(coroutine)
        return self._runner.run(limited(coroutine, self.timeout))

    def _drain(self, generator: Any) -> Iterator[Any]:
        while True:
            try:
                yield self._run(anext(generator))
            except StopAsyncIteration:
                return

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()
            self._runner = None


def _with_typed(
    invoke: Callable[[BytesMessage | None, Any], Any], typed: TypedParameters
) -> Callable[[BytesMessage | None, dict[str, Any]], Any]:
    return lambda message, parameters: invoke(message, typed(parameters))


async def limited(coroutine: Any, seconds: float, limit_of_call: float | None = None) -> Any:
    """`seconds` are what is left of the limit that a call has, where it has begun before."""
    try:
        async with asyncio.timeout(seconds) as limit:
            return await coroutine
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"the kernel took longer than its limit of {limit_of_call or seconds:g} s") from None
        raise

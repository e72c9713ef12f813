"""`@dependencies`: what a kernel needs around it, set up before its first call and torn down at the end."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any, TypeVar

from interactem.runtime.classes import Lifecycle
from interactem.runtime.context import Context
from interactem.runtime.errors import KernelError, LifecycleError, SetUpError
from interactem.runtime.kernels import Kernel
from interactem.runtime.loops import Loop

Function = TypeVar("Function", bound=Callable[..., Any])
Running = Generator[Any, None, None] | AsyncGenerator[Any, None]

MARK = "__interactem_dependencies__"
"""The attribute that `@dependencies` leaves on a function."""


def dependencies(function: Function) -> Function:
    """Make a generator function the set-up and tear-down of the operator in the same module.

    What stands before its one `yield` is done before the kernel is called for the first time, what follows once the
    kernel is not called any more. It takes `context`, or nothing; the context has no state yet. Several are set up in
    the order in which they are defined, and torn down in the opposite one. Those of a kernel that is a coroutine run
    in its event loop, which then goes on between the calls.

    A set-up that raises ends the replica, which is started again a few times. The tear-down is not called after a
    `kill -9`; what it raises is logged and changes nothing.

    Raises `KernelError` for what is not a generator function, and where it takes something else.
    """
    name = getattr(function, "__name__", repr(function))
    if not (inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)):
        raise KernelError(f"@dependencies takes a generator function: {name} has no yield between set-up and tear-down")
    unknown = [given for given in inspect.signature(function).parameters if given != "context"]
    if unknown:
        raise KernelError(f"{name}: dependencies take context, or nothing; not {', '.join(unknown)}")
    setattr(function, MARK, True)
    return function


def dependencies_in(namespace: Mapping[str, Any]) -> tuple[Callable[..., Any], ...]:
    """The functions under `@dependencies` in a module, in their order, each once."""
    found = {id(value): value for value in namespace.values() if getattr(value, MARK, False) is True}
    return tuple(found.values())


class Dependencies:
    """A kernel's dependencies in one replica, and behind them the lifecycle of an operator that is a class.

    `tear_down` may be called at any time, any number of times.
    """

    def __init__(self, kernel: Kernel, context: Context) -> None:
        self._kernel = kernel
        self._context = context
        self._loop: Loop | None = None
        self._running: list[Running] = []
        self._failures = 0

    def set_up(self) -> None:
        """Raises `SetUpError`; what was set up before it is then for `tear_down`."""
        kernel = self._kernel
        asynchronous = any(inspect.isasyncgenfunction(function) for function in kernel.dependencies)
        if kernel.loops or asynchronous or (kernel.coroutine and kernel.dependencies):
            self._loop = self._context.loop = Loop()
        for function in kernel.dependencies:
            try:
                self._begin(function)
            except Exception as error:
                raise SetUpError(function.__name__, error) from error
        if kernel.make is not None:
            self._start(kernel.make)

    def _start(self, make: Callable[[], Any]) -> None:
        self._context.lifecycle = None
        try:
            self._context.lifecycle = Lifecycle(make(), self._context)
            self._context.lifecycle.start()
        except Exception as error:
            raise SetUpError(f"{self._kernel.function.__name__}.start", error) from error

    def cancel(self) -> None:
        """What goes on is to end at once; may be called from a signal handler. What that raises is logged."""
        if self._context.lifecycle is None:
            return
        try:
            self._context.lifecycle.cancel()
        except LifecycleError:
            return  # nothing goes on that could be cancelled
        except Exception:
            self._context.logger.exception("%s.cancel failed", self._kernel.function.__name__)

    def _begin(self, function: Callable[..., Any]) -> None:
        running = function(self._context) if inspect.signature(function).parameters else function()
        self._running.append(running)
        try:
            self._advance(running)
        except (StopIteration, StopAsyncIteration):
            self._running.remove(running)
            raise RuntimeError("it ended before its yield") from None

    def tear_down(self) -> int:
        """What is raised is logged. Returns how often that was."""
        self._failures = 0
        try:
            if self._context.lifecycle is not None:
                self._context.lifecycle.end(self._failed)
        finally:
            self._tear_down()
        return self._failures

    def _failed(self, name: str, error: Exception) -> None:
        self._failures += 1
        self._context.logger.error("%s failed", name, exc_info=error)

    def _tear_down(self) -> None:
        while self._running:
            running = self._running.pop()
            try:
                self._end(running)
            except Exception as error:
                self._failed(f"{getattr(running, '__name__', 'dependencies')}: its tear-down", error)
        if self._loop is not None:
            self._loop.close()
            self._loop = self._context.loop = None

    def _end(self, running: Running) -> None:
        try:
            self._advance(running)
        except (StopIteration, StopAsyncIteration):
            return
        raise RuntimeError("it yields more than once")

    def _advance(self, running: Running) -> None:
        if self._loop is not None:
            self._loop.run(_next(running))
        elif isinstance(running, Generator):
            next(running)


async def _next(running: Running) -> None:
    if isinstance(running, AsyncGenerator):
        await anext(running)
        return
    try:
        next(running)
    except StopIteration:
        raise StopAsyncIteration from None  # a coroutine cannot raise the other one

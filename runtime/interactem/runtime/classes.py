"""`Operator`: an operator as a class, and how its methods are called in their order."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from interactem.runtime import lifecycle
from interactem.runtime.current import current
from interactem.runtime.errors import LifecycleError
from interactem.runtime.lifecycle import State, Step

if TYPE_CHECKING:
    from interactem.runtime.context import Context

__all__ = ["Lifecycle", "Operator", "asynchronous"]

STEPS: tuple[Step, ...] = ("start", "stop", "cleanup", "cancel")
"""The methods of the lifecycle beside `run`: they take nothing."""
KERNELS = ("read", "ack", "write", "update", "prepare", "process", "output")
"""What the kernels of classes of other kinds are called."""


class Operator:
    """The base of operators that are classes: override `run`, and of the others what is needed. Put `@operator` above.

    The runtime makes one instance for a replica, or uses the one that `operator(Scale(2.5))` is given, and calls, in
    this order, `start` once, `run` for each message, `stop` once at the end, and `cleanup` always, also after a `start`
    or a `stop` that raised. Any of them may be a coroutine function; coroutines share one event loop, which runs
    between the calls too. What `start` raises ends the replica, which is started again a few times.

    `run` is the kernel: it takes what a kernel takes, of `inputs`, `parameters`, `context`, `trigger` and `run_data`,
    and returns or yields messages. `run_data` is the message's meta, a dict. With a method `finish(parameters,
    context)`, that is called once at the end of the stream.

    `cancel` is called while another step goes on, when that is to end at once: it may end what `run` waits for. A `run`
    that is cancelled on the command line is interrupted besides, by `KeyboardInterrupt`.
    """

    init_data: dict[str, Any]
    """What it is started with: `--init-data`, in a pipeline its parameters. There from `start` on."""
    run: Callable[..., Any]
    _replicas_context: Context

    @property
    def context(self) -> Context:
        """There from `start` on. Where several calls go on at once, each sees its own."""
        return current.get() or self._replicas_context

    @context.setter
    def context(self, context: Context) -> None:
        self._replicas_context = context

    def start(self) -> Awaitable[None] | None:
        """Called once, before anything else."""
        return None

    def stop(self) -> Awaitable[None] | None:
        """Called once, after the last `run`, where `start` has succeeded."""
        return None

    def cleanup(self) -> Awaitable[None] | None:
        """Called once, at last, whatever went wrong before."""
        return None

    def cancel(self) -> Awaitable[None] | None:
        """Called when what goes on is to end at once: any number of times, in the middle of other methods."""
        return None


def asynchronous(target: Operator | type[Operator]) -> bool:
    """Whether any of its methods is for an event loop."""
    methods = [getattr(target, name, None) for name in (*STEPS, "run", *KERNELS)]
    return any(inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method) for method in methods)


def started(context: Context, cls: type[Operator]) -> Lifecycle:
    """The lifecycle of the instance. Raises `LifecycleError` where there is none yet."""
    if context.lifecycle is None:
        raise LifecycleError(f"{cls.__name__}.run", State.NEW, (State.STARTED,))
    return context.lifecycle


class Lifecycle:
    """One instance's way through its lifecycle. Each step raises `LifecycleError` where it is not its turn."""

    def __init__(self, operator: Operator, context: Context) -> None:
        self.operator = operator
        self.state = State.NEW
        self._context = context

    def start(self) -> None:
        self.operator.init_data = self._context.init_data
        self.operator.context = self._context
        self._step("start", self.operator.start)

    def run(self, *given: object) -> Any:
        """What the kernel returns, a coroutine or a generator too."""
        if self.state is not State.STARTED:  # the one step that is taken for every message
            lifecycle.begin(self.state, "run")
        return self.operator.run(*given)

    def call(self, name: str, *given: object) -> Any:
        """The same for an operator whose kernel is another method."""
        if self.state is not State.STARTED:
            lifecycle.begin(self.state, "run")
        return getattr(self.operator, name)(*given)

    def stop(self) -> None:
        self._step("stop", self.operator.stop)

    def cleanup(self) -> None:
        self._step("cleanup", self.operator.cleanup)

    def cancel(self) -> None:
        """For signal handlers and other threads: it may come while another step goes on."""
        lifecycle.begin(self.state, "cancel")
        self._call(self.operator.cancel)

    def end(self, failed: Callable[[str, Exception], None]) -> None:
        """Whatever is left of the lifecycle, from any state. `failed` is told of the steps that raise, by name."""
        try:
            if self.state is State.STARTED:
                self._try("stop", self.stop, failed)
        finally:
            if self.state in (State.STOPPED, State.FAILED):
                self._try("cleanup", self.cleanup, failed)

    def _try(self, name: str, step: Callable[[], None], failed: Callable[[str, Exception], None]) -> None:
        try:
            step()
        except Exception as error:
            failed(f"{type(self.operator).__name__}.{name}", error)

    def _step(self, step: Step, method: Callable[[], Any]) -> None:
        self.state = lifecycle.begin(self.state, step)
        failed = True
        try:
            self._call(method)
            failed = False
        finally:
            self.state = lifecycle.end(self.state, failed=failed)

    def _call(self, method: Callable[[], Any]) -> None:
        result = method()
        if inspect.iscoroutine(result):
            loop = self._context.loop
            if loop is None:
                result.close()
                raise TypeError(f"{type(self.operator).__name__}: a coroutine where no event loop was asked for")
            loop.run(result)

"""`@operator`: how a function becomes an operator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from interactem.runtime.classes import Operator, asynchronous, started
from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import KERNEL, Kernel, kernel_of

if TYPE_CHECKING:
    from interactem.runtime.context import Context

Function = TypeVar("Function", bound=Callable[..., Any] | Operator)


class OperatorDecorator:
    """Make a function the kernel of an operator, with or without parentheses.

    The function is plain, a coroutine, a generator or an asynchronous generator. It takes `inputs` (a
    `BytesMessage`; None in a source), `parameters` (a dict of natively typed values) and, where its signature names
    them, `context` (a `Context`) and `trigger` (the name of the trigger that somebody pulls, else None), in any order
    and by these names; the first may have any name. It returns a message, a list of messages or None; a generator's
    messages are sent as it yields them.

    A source (no input ports) is a generator that ends when the data does, or a function that is called again and
    again, and more slowly while it returns None. After a restart a source starts at `context.position` where it
    reads that; a generator that does not is run from its beginning, and what was already sent is dropped. Say
    `replayable=False` for one that cannot be run again, such as a camera: its messages then count anew.

    `finish` is a function of the same form without `inputs`, called once at the end of the stream; what it returns
    is sent on.

    In place of a function stands a class made from `Operator`, or an instance of one: its `run` is the kernel then, and
    its method `finish`, if it has one, the function for the end.

    Raises `KernelError` where the function's signature does not fit.
    """

    @overload
    def __call__(self, function: Function, /) -> Function: ...
    @overload
    def __call__(
        self, /, *, finish: Callable[..., Any] | None = None, replayable: bool = True
    ) -> Callable[[Function], Function]: ...
    def __call__(
        self, function: Function | None = None, /, *, finish: Callable[..., Any] | None = None, replayable: bool = True
    ) -> Function | Callable[[Function], Function]:
        if function is None:

            def decorate(function: Function) -> Function:
                return _decorate(function, finish, replayable)

            return decorate
        return _decorate(function, finish, replayable)


operator = OperatorDecorator()


def _decorate(function: Function, finish: Callable[..., Any] | None, replayable: bool) -> Function:
    finisher = None if finish is None else kernel_of(finish, first=None)
    if isinstance(function, Operator) or (inspect.isclass(function) and issubclass(function, Operator)):
        kernel = _class_kernel(function, finisher, replayable)
    else:
        kernel = kernel_of(function, first="inputs", finish=finisher, replayable=replayable)
    setattr(function, KERNEL, kernel)
    return function


def _class_kernel(target: type[Operator] | Operator, finish: Kernel | None, replayable: bool) -> Kernel:
    """`run` is the kernel: of the one instance that is made, or given."""
    cls = target if isinstance(target, type) else type(target)
    if not callable(getattr(cls, "run", None)):
        raise KernelError(f"{cls.__name__}: an operator that is a class has a method run(self, …)")
    if isinstance(target, type):
        _check_made(target)
    kernel = kernel_of(MethodType(cls.run, target), first="inputs", finish=finish, replayable=replayable)

    def run(context: Context, *given: object) -> Any:
        return started(context, cls).run(*given)

    def end(context: Context, *given: object) -> Any:
        return started(context, cls).operator.finish(*given)  # type: ignore[attr-defined]

    if finish is None and hasattr(cls, "finish"):
        finish = kernel_of(MethodType(cls.finish, target), first=None)
        finish = replace(finish, function=end, takes=("context", *finish.takes))
    run.__name__ = cls.__name__
    make = target if isinstance(target, type) else lambda: target
    takes = ("context", *kernel.takes)
    return replace(kernel, function=run, takes=takes, make=make, finish=finish, loops=asynchronous(target))


def _check_made(cls: type[Operator]) -> None:
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        advice = f"give an instance: step = operator({cls.__name__}(…))"
        raise KernelError(f"{cls.__name__} cannot be made without arguments ({error}); {advice}") from None

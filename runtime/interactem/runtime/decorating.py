"""How kernels of the kinds are made out of functions, classes and instances."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from interactem.runtime.classes import Operator, asynchronous, started
from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import KERNEL, Kernel, kernel_of
from interactem.runtime.kinds.batch import BatchOperator
from interactem.runtime.kinds.classes import class_of, finish_of, maker, source_kernel
from interactem.runtime.kinds.sinks import Sink, sinking
from interactem.runtime.kinds.sources import Source, reading_kernel, reads
from interactem.runtime.kinds.staged import StagedOperator

if TYPE_CHECKING:
    from interactem.runtime.context import Context

Function = TypeVar("Function", bound=Callable[..., Any] | Operator)
Shape = Callable[[Kernel], Kernel]
"""Makes the kernel of a kind out of the author's function."""


def decorated_source(
    function: Function, ack: Callable[..., Any] | None, finish: Callable[..., Any] | None, replayable: bool
) -> Function:
    finisher = None if finish is None else kernel_of(finish, first=None)
    if is_made_of(function, Source):
        if ack is not None:
            raise KernelError(f"{_name(function)}: a class has a method ack; it is not given one")
        setattr(function, KERNEL, source_kernel(cast("type[Source] | Source", function), finisher, replayable))
        return function
    if not inspect.isclass(function) and callable(function) and reads(function):
        acknowledge = None if ack is None else lambda context, position: ack(position)
        setattr(function, KERNEL, reading_kernel(function, acknowledge, finish=finisher, replayable=replayable))
        return function
    if ack is not None:
        raise KernelError(f"{_name(function)}: ack is for a source that reads from a position: read(position, most)")
    return decorated(function, finish, replayable, lambda kernel: kernel)


def _name(function: object) -> str:
    return str(getattr(function, "__name__", repr(function)))


def decorator(
    function: Function | None, finish: Callable[..., Any] | None, replayable: bool, shape: Shape, kind: str = ""
) -> Function | Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        return decorated(function, finish, replayable, shape, kind)

    return decorate if function is None else decorate(function)


def decorated(
    function: Function, finish: Callable[..., Any] | None, replayable: bool, shape: Shape, kind: str = ""
) -> Function:
    if is_made_of(function, Source):
        return decorated_source(function, None, finish, replayable)
    for base, name in ((StagedOperator, "staged"), (BatchOperator, "batch")):
        if is_made_of(function, base) and name != kind:
            raise KernelError(f"{_name(function)}: a {base.__name__} stands under @operator.{name}(…)")
    finisher = None if finish is None else kernel_of(finish, first=None)
    kernel = _kernel(function, finisher, replayable)
    setattr(function, KERNEL, shape(sinking(kernel) if is_made_of(function, Sink) else kernel))
    return function


def _kernel(function: Any, finish: Kernel | None, replayable: bool) -> Kernel:
    if not is_made_of(function, Operator):
        return kernel_of(function, first="inputs", finish=finish, replayable=replayable)
    return _class_kernel(function, finish, replayable, "write" if is_made_of(function, Sink) else "run")


def is_made_of(target: object, base: type[Operator]) -> bool:
    """Whether it is a class made from `base`, or an instance of one."""
    return isinstance(target, base) or (inspect.isclass(target) and issubclass(target, base))


def _class_kernel(target: type[Operator] | Operator, finish: Kernel | None, replayable: bool, method: str) -> Kernel:
    """A method is the kernel: of the one instance that is made, or given."""
    cls = class_of(target, method)
    bound = MethodType(getattr(cls, method), target)
    kernel = kernel_of(bound, first="inputs", finish=finish, replayable=replayable)

    def run(context: Context, *given: object) -> Any:
        return started(context, cls).run(*given)

    def call(context: Context, *given: object) -> Any:
        return started(context, cls).call(method, *given)

    finish = finish_of(target) if finish is None else finish
    function = run if method == "run" else call
    function.__name__ = cls.__name__
    takes = ("context", *kernel.takes)
    kernel = replace(kernel, make=maker(target), loops=asynchronous(target))
    return replace(kernel, function=function, takes=takes, finish=finish)

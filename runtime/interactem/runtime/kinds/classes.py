"""Operators that are classes: how an instance's methods become a kernel of some kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

from interactem.runtime.classes import Operator, asynchronous, started
from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import Kernel, kernel_of
from interactem.runtime.kinds.side_inputs import updating_kernel
from interactem.runtime.kinds.sources import Source, reading_kernel
from interactem.runtime.kinds.transforms import transform_kernel

if TYPE_CHECKING:
    from interactem.runtime.context import Context

__all__ = ["class_of", "finish_of", "maker", "side_kernel", "source_kernel"]

Target = type[Operator] | Operator
"""A class, or an instance that was made with arguments."""


def class_of(target: Target, method: str) -> type[Operator]:
    """The class, which has this method for its kernel. Raises `KernelError`."""
    cls = target if isinstance(target, type) else type(target)
    if not callable(getattr(cls, method, None)):
        raise KernelError(f"{cls.__name__}: an operator that is a class has a method {method}(self, …)")
    if isinstance(target, type):
        try:
            inspect.signature(target).bind()
        except TypeError as error:
            advice = f"give an instance: step = operator({cls.__name__}(…))"
            raise KernelError(f"{cls.__name__} cannot be made without arguments ({error}); {advice}") from None
    return cls


def maker(target: Target) -> Callable[[], Operator]:
    return target if isinstance(target, type) else lambda: target


def finish_of(target: Target) -> Kernel | None:
    """Its method `finish`, if it has one, as the function for the end of the stream."""
    cls = target if isinstance(target, type) else type(target)
    if not hasattr(cls, "finish"):
        return None
    kernel = kernel_of(MethodType(cls.finish, target), first=None)

    def end(context: Context, *given: object) -> Any:
        return started(context, cls).operator.finish(*given)  # type: ignore[attr-defined]

    return replace(kernel, function=end, takes=("context", *kernel.takes))


def side_kernel(target: Target, every: float | None) -> Kernel:
    """Of a class whose `update` is called on a schedule."""
    cls = class_of(target, "update")
    update = MethodType(cls.update, target)  # type: ignore[attr-defined]
    kernel = updating_kernel(update, every, lambda context: partial(started(context, cls).call, "update"))
    return replace(kernel, make=maker(target), loops=asynchronous(target))


def source_kernel(target: type[Source] | Source, finish: Kernel | None, replayable: bool) -> Kernel:
    """Of a class whose `read` is the kernel."""
    cls = class_of(target, "read")

    def acknowledge(context: Context, position: Any) -> Any:
        return started(context, cls).call("ack", position)

    told = acknowledge if getattr(cls, "ack", None) is not Source.ack else None
    read = MethodType(cls.read, target)  # type: ignore[attr-defined]
    finish = finish_of(target) if finish is None else finish
    kernel = reading_kernel(
        read,
        told,
        finish=finish,
        replayable=replayable,
        bound=lambda context: partial(started(context, cls).call, "read"),
    )
    return replace(kernel, make=maker(target), loops=asynchronous(target), transform=_transform_of(target, cls))


def _transform_of(target: Source | type[Source], cls: type[Operator]) -> Kernel | None:
    if target.transform is None:
        return None
    kernel = transform_kernel(MethodType(cls.transform, target))  # type: ignore[attr-defined]

    def transform(context: Context, *given: object) -> Any:
        return started(context, cls).call("transform", *given)

    return replace(kernel, function=transform, takes=("context", *kernel.takes))

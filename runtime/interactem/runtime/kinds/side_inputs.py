"""Side inputs: a function on a schedule whose latest value other operators find in `context.side_inputs`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from interactem.runtime.classes import Operator
from interactem.runtime.errors import KernelError, SideInputError
from interactem.runtime.kernels import Kernel
from interactem.runtime.typed_parameters import model_of

__all__ = ["SideInput", "SideInputError", "updating_kernel"]

NAMES = ("parameters", "context")


class SideInput(Operator):
    """The base of side inputs that are classes: override `update`.

    `update(parameters, context)` returns the value; it takes either, or nothing. None keeps the value that was there.
    """

    update: Callable[..., Any]


def updating_kernel(
    update: Callable[..., Any], every: float | None, bound: Callable[[Any], Callable[..., Any]] | None = None
) -> Kernel:
    """The kernel of a side input. `bound` finds the function in a context, as for `reading_kernel`.

    Raises `KernelError`.
    """
    name = getattr(update, "__name__", repr(update))
    takes = tuple(inspect.signature(update).parameters)
    unknown = [taken for taken in takes if taken not in NAMES]
    if unknown:
        raise KernelError(f"{name}: unknown argument {unknown[0]!r}; a side input takes {', '.join(NAMES)}, or nothing")
    if inspect.isgeneratorfunction(update) or inspect.isasyncgenfunction(update):
        raise KernelError(f"{name}: a side input returns its value; it does not yield")
    if every is not None and not (isinstance(every, int | float) and every > 0):
        raise KernelError(f"{name}: every is a number of seconds above 0, not {every!r}")

    def call(context: Any, parameters: Any) -> Any:
        given = {"parameters": parameters, "context": context}
        function = update if bound is None else bound(context)
        return function(*[given[taken] for taken in takes])

    call.__name__ = name
    coroutine = inspect.iscoroutinefunction(update)
    model = model_of(update)
    return Kernel(call, ("context", "parameters"), False, coroutine, model=model, updates=True, every=every)

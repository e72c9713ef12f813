"""`@operator`: how a function becomes an operator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from interactem.runtime.errors import KernelError

if TYPE_CHECKING:
    from interactem.runtime.context import Context

Function = TypeVar("Function", bound=Callable[..., Any])

KERNEL = "__interactem_kernel__"
"""The attribute under which `@operator` leaves a function's `Kernel`."""

NAMES = ("inputs", "parameters", "context", "trigger")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A user's function with what the runtime has to know to call it.

    `takes` holds which of `NAMES` its signature names, in its order. `dependencies` are set up before the first call
    and torn down after the last. `loops` says that its event loop runs between calls too.
    """

    function: Callable[..., Any]
    takes: tuple[str, ...]
    generator: bool
    coroutine: bool
    finish: Kernel | None = None
    replayable: bool = True
    dependencies: tuple[Callable[..., Any], ...] = ()
    loops: bool = False

    def arguments(self, inputs: object, parameters: object, context: Context) -> list[object]:
        given = {"inputs": inputs, "parameters": parameters, "context": context, "trigger": context.trigger}
        return [given[name] for name in self.takes]


@overload
def operator(function: Function, /) -> Function: ...
@overload
def operator(
    *, finish: Callable[..., Any] | None = None, replayable: bool = True
) -> Callable[[Function], Function]: ...
def operator(
    function: Function | None = None, /, *, finish: Callable[..., Any] | None = None, replayable: bool = True
) -> Function | Callable[[Function], Function]:
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

    Raises `KernelError` where the function's signature does not fit.
    """
    if function is None:

        def decorate(function: Function) -> Function:
            return _decorate(function, finish, replayable)

        return decorate
    return _decorate(function, finish, replayable)


def _decorate(function: Function, finish: Callable[..., Any] | None, replayable: bool) -> Function:
    finisher = None if finish is None else _kernel(finish, first=None)
    kernel = _kernel(function, first="inputs", finish=finisher, replayable=replayable)
    setattr(function, KERNEL, kernel)
    return function


def _kernel(
    function: Callable[..., Any], *, first: str | None, finish: Kernel | None = None, replayable: bool = True
) -> Kernel:
    if not callable(function) or inspect.isclass(function):
        raise KernelError(f"@operator takes a function, not {function!r}")
    name = getattr(function, "__name__", repr(function))
    takes: list[str] = []
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise KernelError(f"{name}: a kernel cannot take *{parameter.name}; name what it needs: {', '.join(NAMES)}")
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise KernelError(f"{name}: a kernel cannot take {parameter.name} by keyword only")
        if parameter.name in NAMES:
            takes.append(parameter.name)
        elif index == 0 and first is not None:
            takes.append(first)
        elif parameter.default is parameter.empty:
            raise KernelError(f"{name}: unknown argument {parameter.name!r}; a kernel takes {', '.join(NAMES)}")
        else:
            break
    if first is None and {"inputs", "trigger"}.intersection(takes):
        raise KernelError(f"{name}: a finish function takes parameters and context; there is no message at the end")
    generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    coroutine = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return Kernel(function, tuple(takes), generator, coroutine, finish, replayable)

"""`@operator`: how a function becomes an operator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from interactem.runtime.classes import Operator, asynchronous, started
from interactem.runtime.errors import KernelError
from interactem.runtime.typed_parameters import model_of

if TYPE_CHECKING:
    from interactem.runtime.context import Context
    from interactem.runtime.messages import BytesMessage

Function = TypeVar("Function", bound=Callable[..., Any] | Operator)

KERNEL = "__interactem_kernel__"
"""The attribute under which `@operator` leaves a function's `Kernel`."""

NAMES = ("inputs", "parameters", "context", "trigger", "run_data")


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
    make: Callable[[], Operator] | None = None
    """Makes the instance of an operator that is a class."""
    model: type[Any] | None = None
    """The pydantic class that the kernel gets its parameters as."""
    grace: float = 0.0
    """Where it keeps to its time limit by itself: how long it may take to end after that, in seconds."""

    def arguments(self, inputs: BytesMessage | None, parameters: object, context: Context) -> list[object]:
        given: dict[str, object] = {
            "inputs": inputs,
            "parameters": parameters,
            "context": context,
            "trigger": context.trigger,
        }
        if "run_data" in self.takes:
            given["run_data"] = {} if inputs is None else inputs.meta
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

    In place of a function stands a class made from `Operator`, or an instance of one: its `run` is the kernel then, and
    its method `finish`, if it has one, the function for the end.

    Raises `KernelError` where the function's signature does not fit.
    """
    if function is None:

        def decorate(function: Function) -> Function:
            return _decorate(function, finish, replayable)

        return decorate
    return _decorate(function, finish, replayable)


def _decorate(function: Function, finish: Callable[..., Any] | None, replayable: bool) -> Function:
    finisher = None if finish is None else _kernel(finish, first=None)
    if isinstance(function, Operator) or (inspect.isclass(function) and issubclass(function, Operator)):
        kernel = _class_kernel(function, finisher, replayable)
    else:
        kernel = _kernel(function, first="inputs", finish=finisher, replayable=replayable)
    setattr(function, KERNEL, kernel)
    return function


def _class_kernel(target: type[Operator] | Operator, finish: Kernel | None, replayable: bool) -> Kernel:
    """`run` is the kernel: of the one instance that is made, or given."""
    cls = target if isinstance(target, type) else type(target)
    if not callable(getattr(cls, "run", None)):
        raise KernelError(f"{cls.__name__}: an operator that is a class has a method run(self, …)")
    if isinstance(target, type):
        _check_made(target)
    kernel = _kernel(MethodType(cls.run, target), first="inputs", finish=finish, replayable=replayable)

    def run(context: Context, *given: object) -> Any:
        return started(context, cls).run(*given)

    def end(context: Context, *given: object) -> Any:
        return started(context, cls).operator.finish(*given)  # type: ignore[attr-defined]

    if finish is None and hasattr(cls, "finish"):
        finish = _kernel(MethodType(cls.finish, target), first=None)
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


def _kernel(
    function: Callable[..., Any], *, first: str | None, finish: Kernel | None = None, replayable: bool = True
) -> Kernel:
    if not callable(function) or inspect.isclass(function):
        advice = "; make the class from interactem.runtime.Operator" if inspect.isclass(function) else ""
        raise KernelError(f"@operator takes a function, not {function!r}{advice}")
    name = getattr(function, "__name__", repr(function))
    takes: list[str] = []
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise KernelError(f"{name}: a kernel cannot take *{parameter.name}; name what it needs: {', '.join(NAMES)}")
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise KernelError(f"{name}: a kernel cannot take {parameter.name} by keyword only")
        if parameter.kind is parameter.KEYWORD_ONLY:
            break  # it keeps its default: what a kernel is given is given by position
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
    model = model_of(function)
    return Kernel(function, tuple(takes), generator, coroutine, finish, replayable, model=model)

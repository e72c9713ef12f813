"""What an author asks of a reducer, and the kernel that is called with the messages of a window."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from interactem.runtime.classes import Operator, asynchronous, started
from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import Kernel
from interactem.runtime.kinds.reduce.keys import Extract, extractor
from interactem.runtime.kinds.reduce.times import check_seconds, event_time
from interactem.runtime.messages import BytesMessage
from interactem.runtime.typed_parameters import model_of
from interactem.runtime.windows import Every, Fixed, Session, Sliding, Window, Windows

if TYPE_CHECKING:
    from interactem.runtime.context import Context

NAMES = ("key", "messages", "window", "parameters", "context")
DROP = "drop"


class Reduce(Operator):
    """The base of reducers that are classes: override `run`. Put `@operator.reduce(…)` above.

    `run(key, messages, window)` may name `parameters` and `context` too.
    """


@dataclass(frozen=True, slots=True)
class Given:
    """What the kernel is called with: a key, an iterator of messages and their window."""

    key: Any
    messages: Iterator[BytesMessage]
    window: Window


@dataclass(frozen=True, slots=True)
class Reduction:
    """`kernel` takes a `Given` in the place of a message. `late` is a port, or None where late messages are dropped."""

    kernel: Kernel
    windows: Windows | None
    key: Extract
    time: Callable[[BytesMessage], float] | None
    lateness: float
    late: str | None
    early: Every | None
    patience: float
    idle: float | None
    grouped_by: str | None = None
    """The path of the key, empty where all messages have the same, or None where a function gives it."""


def reduce_kernel(
    target: Any,
    *,
    window: Windows | None,
    key: str | Extract | None,
    event_time_of: str | Extract,
    lateness: float,
    late: str,
    early: Every | None,
    patience: float,
    idle: float | None,
) -> Kernel:
    """The kernel of a reducer. Raises `KernelError` where something does not fit."""
    if not isinstance(window, (Fixed, Sliding, Session, type(None))):
        raise KernelError(
            f"reduce: window is Fixed(…), Sliding(…), Session(…) or None, the whole stream; not {window!r}"
        )
    if not isinstance(early, (Every, type(None))):
        raise KernelError(f"reduce: early is Every(count=…) or Every(seconds=…), not {early!r}")
    if type(late) is not str or not late:
        raise KernelError(f'reduce: late is "drop" or the name of an output port, not {late!r}')
    for name, seconds in (("lateness", lateness), ("patience", patience), ("idle", idle)):
        check_seconds(name, seconds)
    inner = _class_kernel(target) if _is_class(target) else _function_kernel(target)
    time = event_time(event_time_of)
    reduction = Reduction(
        inner, window, extractor(key), None if window is None else time, float(lateness),
        None if late == DROP else late, early, float(patience), idle,
        "" if key is None else key if isinstance(key, str) else None,
    )  # fmt: skip

    def gather(inputs: BytesMessage) -> None:
        raise KernelError(f"{gather.__name__}: a reducer is called with windows, not with a message")

    gather.__name__ = inner.function.__name__
    return Kernel(
        gather, ("inputs",), generator=False, coroutine=False, make=inner.make, model=inner.model,
        loops=inner.loops or inner.coroutine, reduction=reduction, traceless=True,
    )  # fmt: skip


def _is_class(target: Any) -> bool:
    return isinstance(target, Operator) or (inspect.isclass(target) and issubclass(target, Operator))


def _function_kernel(function: Callable[..., Any]) -> Kernel:
    if not callable(function) or inspect.isclass(function):
        advice = "; make the class from interactem.runtime.Reduce" if inspect.isclass(function) else ""
        raise KernelError(f"@operator.reduce takes a function, not {function!r}{advice}")
    takes = _takes(function)

    def call(given: Given, parameters: Any, context: Context) -> Any:
        return function(*_arguments(takes, given, parameters, context))

    call.__name__ = getattr(function, "__name__", type(function).__name__)
    return _kernel(call, function)


def _class_kernel(target: type[Operator] | Operator) -> Kernel:
    cls = target if isinstance(target, type) else type(target)
    if not callable(getattr(cls, "run", None)):
        raise KernelError(f"{cls.__name__}: a reducer that is a class has a method run(self, key, messages, window)")
    takes = _takes(cls.run, skip=1)

    def call(given: Given, parameters: Any, context: Context) -> Any:
        return started(context, cls).run(*_arguments(takes, given, parameters, context))

    call.__name__ = cls.__name__
    make = target if isinstance(target, type) else lambda: target
    return replace(_kernel(call, cls.run), make=make, loops=asynchronous(target))


def _kernel(call: Callable[..., Any], function: Callable[..., Any]) -> Kernel:
    generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    coroutine = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return Kernel(call, ("inputs", "parameters", "context"), generator, coroutine, model=model_of(function))


def _takes(function: Callable[..., Any], *, skip: int = 0) -> tuple[str, ...]:
    name = getattr(function, "__qualname__", repr(function))
    takes = []
    for parameter in list(inspect.signature(function).parameters.values())[skip:]:
        if parameter.name in NAMES and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            takes.append(parameter.name)
        elif parameter.default is parameter.empty:
            raise KernelError(f"{name}: unknown argument {parameter.name!r}; a reducer takes {', '.join(NAMES)}")
        else:
            break
    if "messages" not in takes:
        raise KernelError(f"{name}: a reducer takes messages, and of {', '.join(NAMES)} what else it needs")
    return tuple(takes)


def _arguments(takes: tuple[str, ...], given: Given, parameters: Any, context: Context) -> list[Any]:
    values = {
        "key": given.key,
        "messages": given.messages,
        "window": given.window,
        "parameters": parameters,
        "context": context,
    }
    return [values[name] for name in takes]

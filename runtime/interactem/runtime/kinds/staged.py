"""Staged kernels: a message is prepared, processed and put out, and different messages are in different stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MethodType
from typing import TYPE_CHECKING, Any

from interactem.runtime.classes import Operator, asynchronous, started
from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import Kernel, kernel_of
from interactem.runtime.kinds.classes import class_of, finish_of, maker
from interactem.runtime.kinds.modes import Mode
from interactem.runtime.typed_parameters import validated

if TYPE_CHECKING:
    from interactem.runtime.context import Context

__all__ = ["STAGES", "Stage", "StagedOperator", "Stages", "staged_kernel"]

STAGES = ("prepare", "process", "output")
_MOST = 1_024


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its first argument is what the one before it has returned, the message in the first of them."""

    name: str
    kernel: Kernel
    concurrency: int

    def arguments(self, value: object, parameters: object, context: Context) -> list[object]:
        if self.kernel.model is not None and isinstance(parameters, dict):
            parameters = validated(self.kernel.model, parameters)
        given = {"inputs": value, "parameters": parameters, "context": context, "trigger": context.trigger}
        return [given[name] for name in self.kernel.takes]


@dataclass(frozen=True, slots=True)
class Stages:
    """In their order. With `keep_folders`, the working folder of an attempt that failed stays."""

    stages: tuple[Stage, ...]
    keep_folders: bool = False

    @property
    def most(self) -> int:
        """How many messages are in all stages together."""
        return sum(stage.concurrency for stage in self.stages)

    @property
    def pokable(self) -> bool:
        """Whether the middle function can be called without a message, for a trigger."""
        return any("trigger" in stage.kernel.takes for stage in self.stages)


class StagedOperator(Operator):
    """The base of staged operators that are classes: override `process`, and `prepare` and `output` where needed.

    Each takes, beside itself, what the stage before it has returned (`prepare` the message), and `parameters` and
    `context` where it names them. Each may be a coroutine function.
    """

    process: Callable[..., Any]


def staged_kernel(
    target: Any,
    given: dict[str, Callable[..., Any]],
    concurrencies: dict[str, int],
    mode: Mode,
    *,
    finish: Callable[..., Any] | None = None,
    keep_folders: bool,
) -> Kernel:
    """The kernel of a class's stages, or of those `given` beside the function `target`. Raises `KernelError`."""
    cls = target if isinstance(target, type) else type(target)
    classes = issubclass(cls, Operator)
    name = cls.__name__ if classes else getattr(target, "__name__", repr(target))
    if classes and given:
        raise KernelError(f"{name}: the stages of an operator that is a class are its methods")
    functions = {} if classes else {**given, "process": target}
    kernels = {key: kernel_of(one, first="inputs") for key, one in functions.items()} or _of_class(target)
    made = tuple(
        Stage(stage, _checked(f"{name}.{stage}", kernels[stage]), _concurrency(stage, concurrencies[stage]))
        for stage in STAGES
        if stage in kernels
    )
    coroutine = any(stage.kernel.coroutine for stage in made)
    finisher = finish_of(target) if finish is None and classes else None
    return Kernel(
        _in_sequence(made, name),
        ("inputs", "parameters", "context"),
        generator=False,
        coroutine=coroutine,
        finish=finisher if finish is None else kernel_of(finish, first=None),
        kind="staged",
        mode=mode,
        stages=Stages(made, keep_folders),
        loops=coroutine or (classes and asynchronous(cls)),
        make=maker(target) if classes else None,
    )


def _of_class(target: Any) -> dict[str, Kernel]:
    cls = class_of(target, "process")
    return {name: _method(cls, target, name) for name in STAGES if callable(getattr(cls, name, None))}


def _method(cls: type[Operator], target: Any, name: str) -> Kernel:
    kernel = kernel_of(MethodType(getattr(cls, name), target), first="inputs")

    def call(context: Context, *given: object) -> Any:
        return started(context, cls).call(name, *given)

    return replace(kernel, function=call, takes=("context", *kernel.takes))


def _concurrency(stage: str, number: int) -> int:
    if type(number) is not int or not 1 <= number <= _MOST:
        option = "max_concurrency" if stage == "process" else f"{stage}_concurrency"
        raise KernelError(f"{option}={number!r} must be a whole number from 1 to {_MOST:,}")
    return number


def _checked(name: str, kernel: Kernel) -> Kernel:
    if kernel.generator:
        raise KernelError(f"{name}: a stage returns what the next one is given; it cannot be a generator")
    if "run_data" in kernel.takes:
        raise KernelError(f"{name}: a stage cannot take run_data; context.message has its meta")
    if "trigger" in kernel.takes and not name.endswith(".process"):
        raise KernelError(f"{name}: this stage cannot take trigger: a trigger calls the function in the middle")
    if "inputs" not in kernel.takes:
        raise KernelError(f"{name}: a stage takes what comes from the one before it, or the message, first")
    return kernel


def _in_sequence(stages: tuple[Stage, ...], name: str) -> Callable[..., Any]:
    """All stages as a kernel of one message. A trigger's call has none: it begins with the one in the middle."""

    def left(context: Context) -> tuple[Stage, ...]:
        return stages if context.trigger is None else tuple(one for one in stages if one.name != "prepare")

    def one(value: Any, parameters: object, context: Context) -> Any:
        for stage in left(context):
            if value is None and stage.name == "output" and context.trigger is not None:
                return None
            value = stage.kernel.function(*stage.arguments(value, parameters, context))
        return value

    async def one_later(value: Any, parameters: object, context: Context) -> Any:
        for stage in left(context):
            if value is None and stage.name == "output" and context.trigger is not None:
                return None
            value = stage.kernel.function(*stage.arguments(value, parameters, context))
            value = await value if stage.kernel.coroutine else value
        return value

    made = one_later if any(stage.kernel.coroutine for stage in stages) else one
    made.__name__ = name
    return made

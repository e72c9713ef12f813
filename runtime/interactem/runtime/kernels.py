"""Kernels: users' functions, with what the runtime has to know to call them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from interactem.runtime.classes import Operator
from interactem.runtime.errors import KernelError
from interactem.runtime.kinds.modes import NO_MODE, Mode
from interactem.runtime.typed_parameters import model_of

if TYPE_CHECKING:
    from interactem.runtime.context import Context
    from interactem.runtime.kinds.batch import Batching
    from interactem.runtime.kinds.reduce.reduction import Reduction
    from interactem.runtime.kinds.staged import Stages
    from interactem.runtime.messages import BytesMessage

KERNEL = "__interactem_kernel__"
"""The attribute under which `@operator` leaves a function's `Kernel`."""

NAMES = ("inputs", "parameters", "context", "trigger", "run_data")


Kind = Literal["map", "stream", "batch", "staged"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A user's function with what the runtime has to know to call it.

    `takes` holds which of `NAMES` its signature names, in its order. `dependencies` are set up before the first call
    and torn down after the last. `loops` says that its event loop runs between calls too.

    Whatever its kind, `function` can be called with one message: that is a batch of one, and all stages in their order.
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
    acknowledge: Callable[[Context, Any], Any] | None = None
    """Tells a source that reads up to which position everything that it has sent is stored durably."""
    updates: bool = False
    """Whether it is a side input, called on a schedule."""
    every: float | None = None
    """Seconds between two calls of a side input, where its author says so in `run.py`."""
    reads: bool = False
    """Whether it is a source that reads from a position."""
    transform: Kernel | None = None
    """What a source's messages go through before they are sent."""
    reduction: Reduction | None = None
    """What a reducer gathers messages by, and the kernel that it calls with them."""
    traceless: bool = False
    """Whether a call that fails has changed nothing, so that nothing has to be brought back."""
    grace: float = 0.0
    """Where it keeps to its time limit by itself: how long it may take to end after that, in seconds."""
    kind: Kind = "map"
    mode: Mode = NO_MODE
    batching: Batching | None = None
    """Of a batch kernel."""
    stages: Stages | None = None
    """Of a staged one."""
    program: Path | None = None
    """The `run.py` that it is from."""

    @property
    def pokable(self) -> bool:
        """Whether it can be called without a message, for a trigger."""
        if self.batching is not None:
            return "trigger" in self.batching.kernel.takes
        if self.stages is not None:
            return self.stages.pokable
        if self.reduction is not None:
            return self.reduction.early is not None
        return not (self.updates or {"trigger", "context"}.isdisjoint(self.takes))

    @property
    def one_by_one(self) -> bool:
        """Whether each call is over before the next message is looked at."""
        return self.kind in ("map", "stream") and not self.mode.wanted

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


def kernel_of(
    function: Callable[..., Any], *, first: str | None, finish: Kernel | None = None, replayable: bool = True
) -> Kernel:
    """What `function` is called with, by its signature; `first` is what its first argument is, whatever its name.

    Raises `KernelError` where the signature does not fit.
    """
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
    kind: Kind = "stream" if generator else "map"
    return Kernel(function, tuple(takes), generator, coroutine, finish, replayable, model=model, kind=kind)

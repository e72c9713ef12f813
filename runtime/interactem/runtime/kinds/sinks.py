"""Sinks: what becomes of each message is what the kernel returns for it.

None is success. `Failed("why")`, or anything raised, is a failure: the message is tried again, and is a dead letter in
the end. `message.to(port)` hands it, or another message, to a fallback: an output port that `operator.json` marks so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from interactem.runtime.classes import Operator
from interactem.runtime.errors import InteractemRuntimeError, KernelError, ReturnTypeError
from interactem.runtime.kernels import Kernel
from interactem.runtime.messages import BytesMessage

__all__ = ["Failed", "FailedMessageError", "NotAddressedError", "Sink", "sinking"]


class FailedMessageError(InteractemRuntimeError):
    """The kernel said that it has failed with a message."""


class NotAddressedError(InteractemRuntimeError, TypeError):
    """A sink returned a message for no port."""

    def __init__(self) -> None:
        super().__init__(
            "a sink returned a message for no port; return None once it is dealt with, Failed(why), or "
            "message.to(port) with the name of a fallback"
        )


@dataclass(frozen=True, slots=True)
class Failed:
    """Returned for a message that the kernel could not deal with: as if it had raised an error that says `why`."""

    why: str

    def error(self) -> FailedMessageError:
        return FailedMessageError(self.why)


class Sink(Operator):
    """The base of sinks that are classes: override `write`.

    `write(inputs)` may name `parameters`, `context` and `run_data` too. It returns None for a message that it has dealt
    with, `Failed(why)` for one to be tried again, or `message.to(port)` for one that goes to a fallback.
    """

    write: Callable[..., Any]


def sinking(kernel: Kernel) -> Kernel:
    """The same kernel, whose results are those of a sink. Raises `KernelError` for one that is none."""
    function = kernel.function
    if not {"inputs", "run_data"} & set(kernel.takes):
        raise KernelError(f"{function.__name__}: a sink takes `inputs`, the message that it is to deal with")
    if kernel.generator:
        raise KernelError(f"{function.__name__}: a sink returns what became of a message; it does not yield")
    if kernel.coroutine:

        @wraps(function)
        async def checked_later(*given: object) -> Any:
            return result_of(await function(*given))

        return replace(kernel, function=checked_later)

    @wraps(function)
    def checked(*given: object) -> Any:
        return result_of(function(*given))

    return replace(kernel, function=checked)


def result_of(result: Any) -> Any:
    """What is to be sent for a message, if anything. Raises what its failure is."""
    if result is None:
        return None
    if isinstance(result, Failed):
        raise result.error()
    for item in result if isinstance(result, list | tuple) else [result]:
        if not isinstance(item, BytesMessage):
            raise ReturnTypeError(item)
        if item.target is None:
            raise NotAddressedError
    return result

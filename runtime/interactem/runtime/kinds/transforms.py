"""Source transforms: what a source sends gets its event time and keys, or is left out, in the source's own process.

A position counts whether its messages are left out or not, so ids and places are the same after a restart.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from interactem.runtime.errors import KernelError, ReturnTypeError
from interactem.runtime.kernels import Kernel, kernel_of
from interactem.runtime.messages import BytesMessage

if TYPE_CHECKING:
    from interactem.runtime.calls import Caller


def transform_kernel(transform: Callable[..., Any]) -> Kernel:
    """Raises `KernelError` where it is not a function of a message."""
    name = getattr(transform, "__name__", repr(transform))
    kernel = kernel_of(transform, first="inputs")
    if kernel.generator or kernel.coroutine or inspect.isclass(transform):
        raise KernelError(f"{name}: a source's transform is a plain function that returns a message, or None")
    if kernel.model is not None:
        raise KernelError(f"{name}: a source's transform gets its parameters as a dict")
    if "inputs" not in kernel.takes:
        raise KernelError(f"{name}: a source's transform takes a message: {name}(message)")
    return kernel


def transformed(
    messages: Iterable[BytesMessage], transform: Kernel, caller: Caller, parameters: Any
) -> list[BytesMessage]:
    """What is sent of what a source has made. Raises what the transform does, and `ReturnTypeError`."""
    found: list[BytesMessage] = []
    for message in messages:
        result = transform.function(*transform.arguments(message, parameters, caller.context))
        if result is None:
            continue
        if not isinstance(result, BytesMessage):
            raise ReturnTypeError(result)
        found += caller.checked(result)
    return found

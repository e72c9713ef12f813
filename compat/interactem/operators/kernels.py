"""A kernel as interactEM calls it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from interactem.runtime import BytesMessage
from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import Kernel

__all__ = ["kernel_of", "with_bytes"]


def kernel_of(function: Callable[..., Any], signed: Callable[..., Any]) -> Kernel:
    """The kernel that calls `function` with a message and parameters; `signed` has the signature that must allow it.

    Raises `KernelError` where it does not.
    """
    name = getattr(signed, "__name__", repr(signed))
    try:
        inspect.signature(signed).bind(None, {})
    except TypeError as error:
        raise KernelError(f"{name}: a kernel is called with inputs and parameters: {error}") from None
    coroutine = inspect.iscoroutinefunction(function)
    takes: tuple[str, ...] = ("inputs", "parameters")
    if "trigger" in inspect.signature(signed).parameters:
        takes = (*takes, "trigger")
        function = _poked(function)
    return Kernel(_async(function) if coroutine else _plain(function), takes, False, coroutine)


def with_bytes(message: BytesMessage | None) -> BytesMessage | None:
    """The message with its data as `bytes`, which is what an interactEM kernel counts on: it may decode them."""
    if message is not None and type(message.data) is not bytes:
        message.data = bytes(message.data)
    return message


def _poked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with its trigger as the third argument, wherever its own signature has it."""

    @functools.wraps(function)
    def kernel(inputs: BytesMessage | None, parameters: dict[str, Any], trigger: str | None) -> Any:
        # a call that no trigger makes keeps the author's own default
        return function(inputs, parameters, **({} if trigger is None else {"trigger": trigger}))

    return kernel


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def kernel(inputs: BytesMessage | None, parameters: dict[str, Any], *trigger: str | None) -> Any:
        return function(with_bytes(inputs), parameters, *trigger)

    return kernel


def _async(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def kernel(inputs: BytesMessage | None, parameters: dict[str, Any], *trigger: str | None) -> Any:
        return await function(with_bytes(inputs), parameters, *trigger)

    return kernel

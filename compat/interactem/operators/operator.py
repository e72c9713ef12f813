"""Operators written against interactEM's names: `operator`, `async_operator`, `dependencies`, `AsyncOperator`.

Their kernels are `(inputs, parameters) -> BytesMessage | None`, given by position. An input's data is always `bytes`,
which costs a copy from 64 KiB on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, overload

from interactem.operators.classes import AsyncOperator
from interactem.operators.kernels import kernel_of
from interactem.runtime import data_directory, dependencies
from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import KERNEL

__all__ = ["DATA_DIRECTORY", "AsyncOperator", "async_operator", "dependencies", "operator"]

Function = TypeVar("Function", bound=Callable[..., Any])

DATA_DIRECTORY: str
"""The folder in which mounts appear, as text: `/mnt` in a container."""


def __getattr__(name: str) -> str:
    # read when it is asked for: the environment says where it is
    if name == "DATA_DIRECTORY":
        return str(data_directory())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@overload
def operator(func: Function, start: bool = False) -> Function: ...
@overload
def operator(func: None = None, start: bool = False) -> Callable[[Function], Function]: ...
def operator(func: Function | None = None, start: bool = False) -> Function | Callable[[Function], Function]:
    """Make a function the kernel of an operator. `start` changes nothing: the runtime starts what it has loaded.

    Raises `KernelError` for a coroutine, and for a function that does not take two arguments.
    """
    if func is None:
        return _operator
    return _operator(func)


@overload
def async_operator(func: Function, start: bool = False) -> Function: ...
@overload
def async_operator(func: None = None, start: bool = False) -> Callable[[Function], Function]: ...
def async_operator(func: Function | None = None, start: bool = False) -> Function | Callable[[Function], Function]:
    """The same for a coroutine. Its event loop runs between the calls too."""
    if func is None:
        return _async_operator
    return _async_operator(func)


def _operator(function: Function) -> Function:
    if inspect.iscoroutinefunction(function):
        raise KernelError(f"{function.__name__} is a coroutine: put @async_operator above it")
    setattr(function, KERNEL, kernel_of(function, function))
    return function


def _async_operator(function: Function) -> Function:
    if not inspect.iscoroutinefunction(function):
        name = getattr(function, "__name__", repr(function))
        raise KernelError(f"{name} is not a coroutine: put @operator above it")
    setattr(function, KERNEL, replace(kernel_of(function, function), loops=True))
    return function

"""Source transforms: what may be one, and its kernel."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import Kernel, kernel_of


def transform_kernel(transform: Callable[..., Any]) -> Kernel:
    """Raises `KernelError` where it is not a function of a message."""
    name = getattr(transform, "__name__", repr(transform))
    kernel = kernel_of(transform, first="inputs")
    if kernel.generator or kernel.coroutine or inspect.isclass(transform):
        raise KernelError(f"{name}: a source's transform is a plain function that returns a message, or None")
    if "inputs" not in kernel.takes:
        raise KernelError(f"{name}: a source's transform takes a message: {name}(message)")
    return kernel

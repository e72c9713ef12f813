"""From what `@operator` infers to what its author says: the kind by its name, and a mode."""

from __future__ import annotations

from dataclasses import replace

from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import Kernel, Kind
from interactem.runtime.kinds.modes import Mode, refusal, required

__all__ = ["no_source", "of_kind", "with_mode"]


def of_kind(kernel: Kernel, kind: Kind) -> Kernel:
    """The same kernel. Raises `KernelError` where it is not of this kind."""
    if kernel.kind != kind:
        name = kernel.function.__name__
        advice = "it is a generator: use @operator.stream" if kind == "map" else "it has no yield: use @operator.map"
        raise KernelError(f"{name}: @operator.{kind} does not fit, {advice}")
    return kernel


def with_mode(kernel: Kernel, mode: Mode) -> Kernel:
    """The same kernel in this mode. Raises `KernelError` where it cannot be."""
    name = kernel.function.__name__
    kind = kernel.kind if {"inputs", "run_data"}.intersection(kernel.takes) else "source"
    required(name, kind, mode, coroutine=kernel.coroutine)
    if mode.processes and kernel.finish is not None:
        raise KernelError(f"{name}: processes= does not go with a finish function: no process has seen all messages")
    return replace(kernel, mode=mode, loops=kernel.loops or mode.concurrency > 0)


def no_source(kernel: Kernel) -> str:
    """Why an operator without inputs cannot have this kernel; empty where it can."""
    if kernel.kind in ("batch", "staged"):
        return f"@operator.{kernel.kind} makes a kernel that is given messages, and operator.json has no inputs"
    for wanted in kernel.mode.wanted:
        return f"{wanted}= does not go with an operator without inputs: {refusal('source', wanted)}"
    return ""

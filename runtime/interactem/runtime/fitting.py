"""Whether a kernel does what the pipeline asks of it. Pure functions: what is known of a kernel is a JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from interactem.runtime.assignment import Assignment, Input
from interactem.runtime.kernels import Kernel

__all__ = ["Misfit", "describe", "misfits"]


class Misfit(NamedTuple):
    """Something that an edge of this number says, and the kernel behind it does not fit to."""

    edge: int
    says: str
    """The name in the pipeline file: `ordered`, `key`."""
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}"


def describe(kernel: Kernel) -> dict[str, Any]:
    """What there is to know of a kernel without calling it.

    `grouped_by` is of a reducer: the path of its key, empty where all is one, or null for what only calls tell.
    """
    document = {
        "kernel": kernel.function.__name__,
        "generator": kernel.generator,
        "coroutine": kernel.coroutine,
        "takes": list(kernel.takes),
        "finish": kernel.finish is not None,
        "replayable": kernel.replayable,
        "one_by_one": kernel.one_by_one,
        "ordered": kernel.mode.ordered,
    }
    return document if kernel.reduction is None else {**document, "grouped_by": kernel.reduction.grouped_by}


def misfits(kernel: Mapping[str, Any], assignment: Assignment) -> list[Misfit]:
    """What of an assignment a described kernel cannot do."""
    found = [_disorder(kernel, entry) for entry in assignment.inputs if entry.ordered]
    if assignment.replicas > 1 and kernel.get("grouped_by") is not None:
        found += [_split(kernel["grouped_by"], entry) for entry in assignment.inputs if entry.keyed]
    return [one for each in found for one in each]


def _disorder(kernel: Mapping[str, Any], entry: Input) -> Iterator[Misfit]:
    if not kernel.get("one_by_one", True) and not kernel.get("ordered", False):
        message = f"{kernel['kernel']} is given several messages at once, and what it makes leaves in any order"
        yield Misfit(entry.edge, "ordered", message, 'add ordered=True to its decorator, or leave out "ordered"')


def _split(grouped_by: str, entry: Input) -> Iterator[Misfit]:
    """What a reducer takes for one key must not be divided among replicas."""
    path = ".".join(("meta", *entry.key))
    if entry.key and path != grouped_by:
        what = f"groups by {grouped_by}" if grouped_by else "groups all messages together"
        message = f"the reducer behind it {what}, and {path} would divide what belongs together among its replicas"
        yield Misfit(entry.edge, "key", message, f'give "key": "{grouped_by}"' if grouped_by else "set 1 replica")

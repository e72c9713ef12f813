"""Batch kernels: a list of messages in, a result for each of them out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interactem.runtime.classes import Operator
from interactem.runtime.errors import BatchResultError, KernelError
from interactem.runtime.kernels import Kernel
from interactem.runtime.messages import BytesMessage

__all__ = ["BatchOperator", "Batching", "batch_kernel", "flat", "gathered", "paired"]

MOST_MESSAGES = 65_536
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Batching:
    """`kernel` is the author's, which takes a list. It is called with `max_size` messages, or with fewer as soon as
    the first of them has waited `max_wait` seconds.
    """

    kernel: Kernel
    max_size: int
    max_wait: float


class BatchOperator(Operator):
    """The base of batch operators that are classes: override `run`, which is given a list of messages."""


def batch_kernel(kernel: Kernel, max_size: int, max_wait: float) -> Kernel:
    """The kernel of one message, which is a batch of one, with what calls it with several. Raises `KernelError`."""
    name = kernel.function.__name__
    if type(max_size) is not int or not 1 <= max_size <= MOST_MESSAGES:
        raise KernelError(f"{name}: max_size={max_size!r} must be a whole number from 1 to {MOST_MESSAGES:,}")
    if isinstance(max_wait, bool) or not isinstance(max_wait, int | float) or not 0 <= max_wait < float("inf"):
        raise KernelError(f"{name}: max_wait={max_wait!r} must be a number of seconds from 0")
    if "inputs" not in kernel.takes:
        raise KernelError(f"{name}: a batch kernel takes the list of messages first")
    if "run_data" in kernel.takes:
        raise KernelError(f"{name}: a batch kernel cannot take run_data: each of its messages has a meta of its own")
    batching = Batching(kernel, max_size, float(max_wait))
    return replace(kernel, kind="batch", function=_of_one(kernel), generator=False, batching=batching)


def paired(inputs: Sequence[BytesMessage], returned: Any, *, generator: bool = False) -> list[Any]:
    """For each input its result, or the exception that stands for it, from what a batch kernel has returned.

    That is a list with one result for each input in order, or pairs of an input and its result, in any order; what a
    `generator` has yielded is pairs. Raises `BatchResultError` where a result cannot be told to belong to an input.
    """
    if not isinstance(returned, Iterable) or isinstance(returned, BytesMessage | str | bytes | dict):
        raise BatchResultError(
            f"the batch kernel returned a {type(returned).__name__}; return a list with a result for each message, "
            "or yield pairs (message, result)"
        )
    results = list(returned)
    if generator or any(isinstance(result, tuple) for result in results):
        return _matched(inputs, results)
    if len(results) != len(inputs):
        names = ", ".join(str(message.id) for message in inputs[len(results) : len(results) + 3])
        which = f"there is none for {names}" if names else f"the last input is {inputs[-1].id}"
        raise BatchResultError(
            f"the batch kernel returned {len(results)} results for {len(inputs)} messages: {which}; "
            "return one for each in order (None where there is nothing), or pairs (message, result)"
        )
    return results


def _matched(inputs: Sequence[BytesMessage], pairs: list[Any]) -> list[Any]:
    places = {id(message): place for place, message in enumerate(inputs)}
    found: list[Any] = [_MISSING] * len(inputs)
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], BytesMessage)):
            raise BatchResultError(f"{_described(pair)} is no pair (message, result)")
        place = places.get(id(pair[0]))
        if place is None:
            raise BatchResultError(f"a result is for {_described(pair[0])}, which is none of the batch's messages")
        if found[place] is not _MISSING:
            raise BatchResultError(f"there are two results for {pair[0].id}; put several messages into one list")
        found[place] = pair[1]
    return [
        _nothing_for(message) if result is _MISSING else result for message, result in zip(inputs, found, strict=True)
    ]


def _nothing_for(message: BytesMessage) -> BatchResultError:
    return BatchResultError(f"the batch kernel has no result for {message.id}; give None where it makes nothing of it")


def _described(value: object) -> str:
    return f"message {value.id}" if isinstance(value, BytesMessage) else f"a {type(value).__name__}"


def _of_one(kernel: Kernel) -> Callable[..., Any]:
    """The batch kernel as a kernel of one message: a batch of one. For a trigger it is given none of them.

    What it makes then belongs to no message: it is what every other kernel makes.
    """
    place = kernel.takes.index("inputs")

    def as_list(given: tuple[Any, ...]) -> list[Any]:
        messages = [] if given[place] is None else [given[place]]
        return [messages if index == place else value for index, value in enumerate(given)]

    def one(*given: Any) -> Any:
        return _only(given[place], kernel.function(*as_list(given)), generator=kernel.generator)

    async def one_later(*given: Any) -> Any:
        whole = await gathered(kernel.function(*as_list(given)), generator=kernel.generator)
        return _only(given[place], whole, generator=kernel.generator)

    made = one_later if kernel.coroutine else one
    made.__name__ = kernel.function.__name__
    return made


async def gathered(returned: Any, *, generator: bool) -> Any:
    """What a coroutine returns, or an asynchronous generator yields, altogether."""
    if not generator:
        return await returned
    parts: AsyncIterator[Any] = returned
    return [part async for part in parts]


def flat(parts: Iterable[Any]) -> list[Any]:
    """What a generator has yielded, as what a function returns."""
    found: list[Any] = []
    for part in parts:
        if isinstance(part, list | tuple):
            found += part
        elif part is not None:
            found.append(part)
    return found


def _only(message: BytesMessage | None, returned: Any, *, generator: bool) -> Any:
    if message is None:
        return flat(returned) if generator else returned
    [result] = paired([message], returned, generator=generator)
    if isinstance(result, Exception):
        raise result
    return result

"""Sources that read: from a position that is theirs to choose, and that is stored with what was sent.

`read(position, most)` gives messages, each with the position behind it; `ack(position)` is told once everything up to
there is stored durably, so that the place it came from may forget it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from interactem.runtime.classes import Operator
from interactem.runtime.errors import InteractemRuntimeError, KernelError
from interactem.runtime.kernels import Kernel
from interactem.runtime.typed_parameters import model_of

NAMES = ("position", "most", "parameters", "context")
MOST_BYTES = 65_536
"""A position is stored again and again."""


class EndOfStream(Exception):
    """Raised by `read` where there is nothing more to read, now and later."""


class PositionError(InteractemRuntimeError, TypeError):
    """What `read` gave is not a message with a position that can be stored."""


class Source(Operator):
    """The base of sources that are classes: override `read`, `ack` where somebody waits to hear it, and `transform`.

    `read(position, most)` returns or yields up to `most` pairs `(message, next position)`; it may name `parameters` and
    `context` too. `position` is the one behind the last message that was sent, None at first; it may be anything that
    msgpack holds. A pair's message may be a list of them, or None where there is only the position to move on. Where
    there is nothing now it returns an empty list, and is called again, more and more slowly; at the end of the data it
    raises `EndOfStream`. Reading from the same position again must give the same messages, as it is done after a crash;
    say `@operator.source(replayable=False)` where it does not: then some may be sent twice.

    `ack(position)` is called once everything before `position` is stored durably: never before that, perhaps later, and
    perhaps more than once. What it raises is told, and it is called again.
    """

    read: Callable[..., Any]

    def ack(self, position: Any) -> Any:
        """Everything that was sent before `position` is stored durably."""
        return None

    transform: Callable[..., Any] | None = None
    """Where it is a method `transform(self, message)`: each message goes through it, as with `transform=` of
    `@operator.source`; it may name `parameters` and `context` too."""


def reads(function: Callable[..., Any]) -> bool:
    """Whether a function is made to be called with a position."""
    return "position" in inspect.signature(function).parameters


def reading_kernel(
    read: Callable[..., Any],
    acknowledge: Callable[[Any, Any], Any] | None,
    *,
    finish: Kernel | None,
    replayable: bool,
    bound: Callable[[Any], Callable[..., Any]] | None = None,
) -> Kernel:
    """The kernel whose every call reads from where `context.reading` says.

    `bound` finds the function in a context, where `read` is a method of what is made for each replica. Raises
    `KernelError`.
    """
    name = getattr(read, "__name__", repr(read))
    takes = tuple(inspect.signature(read).parameters)
    unknown = [taken for taken in takes if taken not in NAMES]
    if unknown:
        raise KernelError(f"{name}: unknown argument {unknown[0]!r}; a source reads with {', '.join(NAMES)}")
    if "position" not in takes:
        raise KernelError(f"{name}: a source that reads takes the position to read from: {name}(position, most)")

    def call(context: Any, parameters: Any) -> Any:
        if context.trigger is not None:
            raise KernelError("a source that reads from a position does nothing for a trigger")
        position, most = context.reading
        given = {"position": position, "most": most, "parameters": parameters, "context": context}
        function = read if bound is None else bound(context)
        return function(*[given[taken] for taken in takes])

    call.__name__ = name
    return Kernel(
        call,
        ("context", "parameters"),
        generator=inspect.isgeneratorfunction(read) or inspect.isasyncgenfunction(read),
        coroutine=inspect.iscoroutinefunction(read) or inspect.isasyncgenfunction(read),
        finish=finish,
        replayable=replayable,
        model=model_of(read),
        acknowledge=acknowledge,
        reads=True,
    )


def pairs(given: Any) -> Iterable[tuple[Any, Any]]:
    """What `read` gave, one after the other. Raises `PositionError` where that is not what it should be."""
    if given is None:
        return
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | dict):
        raise PositionError(f"read gave a {type(given).__name__}; it gives pairs: (message, next position)")
    for pair in given:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise PositionError(f"read gave a {type(pair).__name__} without a position: (message, next position)")
        yield pair


def pack_position(position: Any) -> bytes:
    """Raises `PositionError` where it cannot be stored."""
    try:
        packed: bytes = msgpack.packb(position)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        advice = "give numbers, text, bytes, lists and dicts"
        raise PositionError(f"the position {position!r:.80} cannot be stored: {error}; {advice}") from None
    if len(packed) > MOST_BYTES:
        raise PositionError(f"a position of {len(packed):,} bytes; it is stored often: at most {MOST_BYTES:,}")
    return packed


def unpack_position(packed: bytes) -> Any:
    return msgpack.unpackb(packed, strict_map_key=False) if packed else None

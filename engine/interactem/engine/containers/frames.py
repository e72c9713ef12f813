"""What a container prints, as the engines send it: frames, each with the stream that it was printed to."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

_HEAD = struct.Struct(">BxxxI")  # stream: 1 output, 2 errors; length


def unframed(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """What is in the frames, with the number of its stream, in the order in which it came."""
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        while len(rest) >= _HEAD.size:
            stream, length = _HEAD.unpack_from(rest)
            end = _HEAD.size + length
            if len(rest) < end:
                break
            yield stream, bytes(rest[_HEAD.size : end])
            del rest[:end]


class FramedOutput:
    """What an engine sends of a container's output. `read` gives some of it, and nothing at its end.

    It is read within `translated`, which knows the engine's errors.
    """

    def __init__(
        self,
        read: Callable[[], bytes],
        close: Callable[[], None],
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._read = read
        self._close = close
        self._translated = translated

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        with self._translated():
            yield from unframed(iter(self._read, b""))

    def close(self) -> None:
        self._close()

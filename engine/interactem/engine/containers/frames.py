"""What a container prints, as the engines send it: frames, each with the stream that it was printed to."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

_HEAD = struct.Struct(">BxxxI")  # stream: 1 output, 2 errors; length


def unframed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What is in the frames, of both streams, in the order in which it came."""
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        while len(rest) >= _HEAD.size:
            _, length = _HEAD.unpack_from(rest)
            end = _HEAD.size + length
            if len(rest) < end:
                break
            yield bytes(rest[_HEAD.size : end])
            del rest[:end]

"""What a worker and the process above it say to each other: msgpack, each message behind its length."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from struct import Struct
from typing import Any

import msgpack

LENGTH = Struct(">Q")


def pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value)
    return LENGTH.pack(len(packed)) + packed


class Unpacker:
    """Messages from the bytes that come."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        self._parts += data
        while len(self._parts) >= LENGTH.size:
            [length] = LENGTH.unpack_from(self._parts)
            end = LENGTH.size + length
            if len(self._parts) < end:
                return
            with memoryview(self._parts) as view:
                value = msgpack.unpackb(view[LENGTH.size : end], strict_map_key=False, use_list=True)
            del self._parts[:end]
            yield value


def receive(channel: socket.socket) -> Any:
    """The next message; None at the end. Waits for it."""
    head = _exactly(channel, LENGTH.size)
    if head is None:
        return None
    body = _exactly(channel, LENGTH.unpack(head)[0])
    return None if body is None else msgpack.unpackb(body, strict_map_key=False)


def _exactly(channel: socket.socket, length: int) -> bytes | None:
    parts: list[bytes] = []
    while length:
        part = channel.recv(min(length, 2**20))
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)

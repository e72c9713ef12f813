"""What a daemon and its clients say to each other: frames of a kind, a length and a payload.

The client asks with one `REQUEST` (JSON) and may `CANCEL` it. It hears `STDOUT` and `STDERR` as they are printed, and
at last one `RESULT` (JSON: `code`, the exit code, and `error`, text or null), after all that the request has printed.
`interactem.cli.daemon_client` is the other side.
"""

from __future__ import annotations

import socket
import struct

__all__ = ["CANCEL", "HEADER", "REQUEST", "RESULT", "STDERR", "STDOUT", "receive", "send"]

HEADER = struct.Struct(">cQ")
REQUEST, CANCEL, STDOUT, STDERR, RESULT = b"Q", b"C", b"O", b"E", b"R"


def send(channel: socket.socket, kind: bytes, payload: bytes = b"") -> None:
    """Raises `OSError` where nobody is there to hear it."""
    channel.sendall(HEADER.pack(kind, len(payload)))
    if payload:
        channel.sendall(payload)


def receive(channel: socket.socket) -> tuple[bytes, bytes] | None:
    """The next frame; None where the other side has left, also in the middle of one."""
    head = _exactly(channel, HEADER.size)
    if head is None:
        return None
    kind, length = HEADER.unpack(head)
    payload = _exactly(channel, length)
    return None if payload is None else (kind, payload)


def _exactly(channel: socket.socket, length: int) -> bytes | None:
    parts: list[bytes] = []
    while length:
        try:
            part = channel.recv(min(length, 2**20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)

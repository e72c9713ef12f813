"""How messages look on the wire; `docs/wire.md` defines it.

One NATS message is one batch. Its header `Interactem-Wire` names the format's version and codec. Its payload is the
length of a msgpack head (4 bytes, little endian), the head, and the data of all messages, one behind the other. The
head is an array: the ids, the metas, the trackings, the sizes of the data in bytes, and a map of what is known about
the batch as a whole (attempts, errors). Metas or trackings that are all empty are nil.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import msgpack

from interactem.runtime.errors import WireError
from interactem.runtime.messages import VIEW_FROM, BytesMessage, MessageHeader, MessageSubject

HEADER = "Interactem-Wire"
FORMAT = "1 msgpack"

_LENGTH = struct.Struct("<I")


def size_of(message: BytesMessage) -> int:
    """Bytes of the message's data."""
    data = message.data
    return data.nbytes if isinstance(data, memoryview) else len(data)


def encode(messages: Sequence[BytesMessage], about: dict[str, Any] | None = None) -> bytes:
    """The payload of a batch. Raises `WireError` where a meta holds what msgpack cannot."""
    ids = [message.id for message in messages]
    headers = [message.header for message in messages]
    metas: list[Any] | None = [header.meta for header in headers]
    trackings: list[Any] | None = [header.tracking for header in headers]
    if not any(metas or ()):
        metas = None
    if not any(trackings or ()):
        trackings = None
    try:
        head = msgpack.packb([ids, metas, trackings, [size_of(m) for m in messages], about or {}])
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(
            f"a message's meta or tracking cannot be sent: {error}; use numbers, text, bytes, lists and dicts"
        ) from error
    return b"".join([_LENGTH.pack(len(head)), head, *[message.data for message in messages]])


def check_format(format: str | None) -> None:
    """Raises `WireError` for a version or codec that this version does not read."""
    if format != FORMAT:
        raise WireError(f"unknown wire format {format!r}: this version reads {FORMAT!r}")


def decode(payload: bytes, port: str | None = None) -> tuple[list[BytesMessage], dict[str, Any]]:
    """The messages of a batch, and what is known about it. Raises `WireError` for anything that is not a batch."""
    try:
        (length,) = _LENGTH.unpack_from(payload)
        view = memoryview(payload)
        ids, metas, trackings, sizes, about = msgpack.unpackb(view[4 : 4 + length], strict_map_key=False)
    except (struct.error, ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise WireError(f"not a batch of messages: {error}") from error
    _check_head(ids, metas, trackings, sizes, about, len(payload) - 4 - length)
    messages: list[BytesMessage] = []
    subject = MessageSubject.BYTES
    offset = 4 + length
    for index, message_id in enumerate(ids):
        end = offset + sizes[index]
        data = view[offset:end] if end - offset >= VIEW_FROM else payload[offset:end]
        header = MessageHeader(subject, metas[index] if metas else {}, trackings[index] if trackings else None)
        messages.append(BytesMessage(header, data, port=port, id=message_id))
        offset = end
    return messages, about


def _check_head(ids: Any, metas: Any, trackings: Any, sizes: Any, about: Any, rest: int) -> None:
    if not isinstance(ids, list) or not all(type(message_id) is str for message_id in ids):
        raise WireError("not a batch of messages: its ids are not a list of text")
    count = len(ids)
    if not isinstance(about, dict):
        raise WireError("not a batch of messages: what is known about it is not a map")
    _check_column("metas", metas, count, (dict, bytes))
    _check_column("trackings", trackings, count, (dict, type(None)))
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise WireError("not a batch of messages: its sizes are not a list of whole numbers")
    if len(sizes) != count or sum(sizes) != rest:
        raise WireError(f"a batch of {count} messages announces {sum(sizes)} bytes of data and has {rest}")


def _check_column(name: str, column: Any, count: int, kinds: tuple[type, ...]) -> None:
    if column is None:
        return
    if not isinstance(column, list) or len(column) != count or not all(isinstance(value, kinds) for value in column):
        raise WireError(f"not a batch of messages: its {name} do not fit its ids")


def batch_id(messages: Sequence[BytesMessage]) -> str:
    """The id of a batch: a hash of its members' ids, so that the broker knows the same batch again."""
    joined = "\n".join([message.id or "" for message in messages])
    return hashlib.blake2b(joined.encode(), digest_size=16).hexdigest()

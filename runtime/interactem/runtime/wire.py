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
from typing import Any, NamedTuple

import msgpack

from interactem.runtime.errors import WireError
from interactem.runtime.messages import VIEW_FROM, Buffer, BytesMessage, MessageHeader, MessageSubject

HEADER = "Interactem-Wire"
FORMAT = "1 msgpack"

_LENGTH = struct.Struct("<I")
_NIL = msgpack.packb(None)
_EMPTY = msgpack.packb({})


class Packed(NamedTuple):
    """A message made ready for the wire when it was sent: what its author does to it later changes nothing."""

    id: str
    meta: bytes
    tracking: bytes
    data: Buffer
    size: int
    weight: int
    """Bytes that it adds to a batch, about."""


def pack(message: BytesMessage, message_id: str, tracking: dict[str, Any] | None = None) -> Packed:
    """`message` as it is now; `tracking` where it has none of its own. The data is shared if it cannot change.

    Raises `WireError` where meta or tracking hold what msgpack cannot, `TypeError` for data that is not bytes-like.
    """
    header = message.header
    data = message.data
    if type(data) is not bytes:
        view = memoryview(data)
        data = view if view.readonly and view.contiguous else view.tobytes()
        size = view.nbytes
    else:
        size = len(data)
    meta = _packed(header.meta, "meta") if header.meta else _EMPTY
    own = tracking if header.tracking is None else header.tracking
    track = _packed(own, "tracking") if own else _NIL
    return Packed(message_id, meta, track, data, size, size + len(meta) + len(track) + len(message_id) + 16)


def _packed(value: Any, what: str) -> bytes:
    try:
        packed: bytes = msgpack.packb(value, default=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"a message's {what} cannot be sent: {error}; use numbers, text, bytes, lists, dicts") from error
    return packed


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays come into metas unnoticed; they travel as plain numbers and lists."""
    to_list = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"it holds a {type(value).__module__}.{type(value).__qualname__}")
    return to_list()


def encode(messages: Sequence[Packed], about: dict[str, Any] | None = None) -> bytes:
    """The payload of a batch."""
    ids, metas, trackings, data, sizes, _ = zip(*messages, strict=True) if messages else ((),) * 6
    head = b"".join(
        (
            b"\x95",  # an array of five
            msgpack.packb(ids),
            _column(metas, _EMPTY),
            _column(trackings, _NIL),
            msgpack.packb(sizes),
            _packed(about, "batch") if about else _EMPTY,
        )
    )
    return b"".join((_LENGTH.pack(len(head)), head, *data))


def _column(values: Sequence[bytes], nothing: bytes) -> bytes:
    if values.count(nothing) == len(values):
        return _NIL
    header: bytes = msgpack.Packer(autoreset=True).pack_array_header(len(values))
    return header + b"".join(values)


def check_format(format: str | None) -> None:
    """Raises `WireError` for a version or codec that this version does not read."""
    if format != FORMAT:
        raise WireError(f"unknown wire format {format!r}: this version reads {FORMAT!r}")


def decode(payload: bytes, port: str | None = None) -> tuple[list[BytesMessage], dict[str, Any]]:
    """The messages of a batch, and what is known about it. Raises `WireError` for anything that is not a batch."""
    view = memoryview(payload)
    try:
        (length,) = _LENGTH.unpack_from(payload)
        ids, metas, trackings, sizes, about = msgpack.unpackb(view[4 : 4 + length], strict_map_key=False)
    except (struct.error, ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise WireError(f"not a batch of messages: {error}") from error
    _check_head(ids, metas, trackings, sizes, about, len(payload) - 4 - length)
    messages: list[BytesMessage] = []
    subject = MessageSubject.BYTES
    offset = 4 + length
    for index, message_id in enumerate(ids):
        end = offset + sizes[index]
        data: Buffer = payload[offset:end] if end - offset < VIEW_FROM else view[offset:end]
        header = MessageHeader(subject, metas[index] if metas else None, trackings[index] if trackings else None)
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


def batch_id(ids: Sequence[str]) -> str:
    """The id of a batch: a hash of its members' ids, so that the broker knows the same batch again."""
    return hashlib.blake2b("\n".join(ids).encode(), digest_size=16).hexdigest()

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
from itertools import repeat
from typing import Any, NamedTuple

import msgpack

from interactem.runtime.errors import WireError
from interactem.runtime.messages import VIEW_FROM, Buffer, BytesMessage, MessageHeader, MessageSubject

HEADER = "Interactem-Wire"
FORMAT = "1 msgpack"

_LENGTH = struct.Struct("<I")
_NIL: bytes = msgpack.packb(None)
_EMPTY: bytes = msgpack.packb({})
_PLAIN = frozenset({str, bytes, int, float, bool, type(None)})
_OVERHEAD = 16
"""Bytes of the head for each message, at most, beside id, meta and tracking."""


class Packed(NamedTuple):
    """A message made ready for the wire when it was sent: what its author does to it later changes nothing."""

    id: str
    meta: bytes
    tracking: bytes
    data: Buffer
    size: int
    weight: int
    """Bytes that it adds to a batch, at most."""


_new_tuple = tuple.__new__


def pack(message: BytesMessage, message_id: str, tracking: dict[str, Any] | None = None) -> Packed:
    """`message` as it is now; `tracking` where it has none of its own. The data is shared if it cannot change.

    Raises `WireError` where meta or tracking hold what cannot be sent, `TypeError` for data that is not bytes-like.
    """
    header = message.header
    data = message.data
    if type(data) is not bytes:
        data = _unchangeable(data)
        size = memoryview(data).nbytes
    else:
        size = len(data)
    meta = _packed_meta(header.meta) if header.meta else _EMPTY
    own = tracking if header.tracking is None else header.tracking
    track = _packed_tracking(own) if own else _NIL
    weight = size + len(meta) + len(track) + 4 * len(message_id) + _OVERHEAD
    # what the constructor of a named tuple does, three times as fast: this is the path of every message
    return _new_tuple(Packed, (message_id, meta, track, data, size, weight))


def _unchangeable(data: Buffer) -> Buffer:
    """The same bytes in memory that nobody can write to, without a copy where that is so already."""
    view = memoryview(data)
    if not view.nbytes:
        return b""
    return view.cast("B") if view.readonly and view.c_contiguous and _owner(view) is bytes else view.tobytes()


def _owner(view: memoryview) -> type:
    """The kind of object that the memory belongs to in the end, through all views and arrays upon it."""
    owner: Any = view.obj
    while True:
        if isinstance(owner, memoryview):
            owner = owner.obj
        elif (base := getattr(owner, "base", None)) is not None:
            owner = base
        else:
            return type(owner)


def _packed_meta(meta: Any) -> bytes:
    if isinstance(meta, bytes):
        return _packed(meta, "a message's meta")
    if not isinstance(meta, dict):
        raise WireError(f"a message's meta is a dict or bytes, not a {type(meta).__name__}")
    return _packed_dict(meta, "a message's meta")


def _packed_tracking(tracking: Any) -> bytes:
    if not isinstance(tracking, dict):
        raise WireError(f"a message's tracking is a dict or None, not a {type(tracking).__name__}")
    return _packed_dict(tracking, "a message's tracking")


def _packed_dict(value: dict[Any, Any], what: str) -> bytes:
    packed = _packed(value, what)
    if not (_PLAIN.issuperset(map(type, value)) and _PLAIN.issuperset(map(type, value.values()))):
        # some values can be written and not read: better that this message fails now than its whole batch later
        try:
            msgpack.unpackb(b"\x91\x91" + packed, strict_map_key=False)
        except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
            raise WireError(f"{what} could not be read again: {error}; use text or numbers as keys") from error
    return packed


def _packed(value: Any, what: str) -> bytes:
    try:
        packed: bytes = msgpack.packb(value, default=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"{what} cannot be sent: {error}; use numbers, text, bytes, lists, dicts") from error
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
            _packed(about, "what is known about a batch") if about else _EMPTY,
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
    end = 4 + length
    for message_id, size, meta, tracking in zip(ids, sizes, metas or repeat(None), trackings or repeat(None)):  # noqa: B905 - repeat has no end
        start, end = end, end + size
        data: Buffer = payload[start:end] if size < VIEW_FROM else view[start:end]
        messages.append(BytesMessage(MessageHeader(subject, meta, tracking), data, port=port, id=message_id))
    return messages, about


def _check_head(ids: Any, metas: Any, trackings: Any, sizes: Any, about: Any, rest: int) -> None:
    _check_column("ids", ids, ids, {str})
    _check_column("sizes", sizes, ids, {int})
    if metas is not None:
        _check_column("metas", metas, ids, {dict, bytes})
    if trackings is not None:
        _check_column("trackings", trackings, ids, {dict, type(None)})
    if type(about) is not dict:
        raise WireError("not a batch of messages: what is known about it is not a map")
    if sizes and min(sizes) < 0:
        raise WireError("not a batch of messages: there is a size below 0")
    if sum(sizes) != rest:
        raise WireError(f"a batch of {len(ids)} messages announces {sum(sizes)} bytes of data and has {rest}")


def _check_column(name: str, column: Any, ids: list[str], kinds: set[type]) -> None:
    if type(column) is not list or not kinds.issuperset(map(type, column)):
        raise WireError(f"not a batch of messages: its {name} are not what they should be")
    if len(column) != len(ids):
        raise WireError(f"not a batch of messages: {len(ids)} ids and {len(column)} {name}")


def batch_id(ids: Sequence[str]) -> str:
    """The id of a batch: a hash of its members' ids, so that the broker knows the same batch again."""
    return hashlib.blake2b("\n".join(ids).encode(), digest_size=16).hexdigest()

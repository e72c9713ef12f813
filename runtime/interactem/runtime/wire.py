"""How messages look on the wire; `docs/wire.md` defines it.

One NATS message is one batch. Its header `Interactem-Wire` names the format's version and codec. Its payload is the
length of a msgpack head (4 bytes, little endian), the head, and the data of all messages, one behind the other. The
head is an array: the ids as runs, the metas and the trackings, each packed by itself, the sizes of the data in bytes,
and a map of what is known about the batch as a whole (attempts, errors). Metas or trackings that are all empty are nil.

What a message carries is packed when it is sent and unpacked where it is looked at. One that is passed on as it came is
neither.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

import msgpack

from interactem.runtime.arena import Placed
from interactem.runtime.errors import WireError
from interactem.runtime.ids import MOST, Run, Series, file, runs_of, series_of, text
from interactem.runtime.messages import VIEW_FROM, Buffer, BytesMessage, loan_of, tuple_of

HEADER = "Interactem-Wire"
FORMAT = "3 msgpack"
OLDER = frozenset({"2 msgpack"})
"""Read too: it is the same without references."""

Data = Buffer | Placed
"""Bytes, or where they lie in an arena."""
Packed = tuple[Series, int, bytes, bytes, Data, int, bytes]
"""A message made ready for the wire when it was sent: what its author does to it later changes nothing.

Its id (series and number), meta, tracking, data, its weight (the bytes that it adds to a batch, at most) and tags. A
plain tuple, which is made a hundred nanoseconds faster than a named one.
"""
WEIGHT: Final = 5
"""Where a `Packed` has its weight."""

_LENGTH = struct.Struct("<I")
_NIL: bytes = msgpack.packb(None)
_EMPTY: bytes = msgpack.packb({})
_NO_TAGS: bytes = msgpack.packb([])
_TAGS: bytes = msgpack.packb("tags")
_REMEMBERED = 4_096
"""So many combinations of tags are known again."""
_SHORT = 500
"""Bytes; msgpack has read nesting of at least 511 in every version."""
_OVERHEAD = 16
"""Bytes of the head for each message, at most, beside id, meta and tracking."""

REFERENCE_BYTES = 48
"""What a reference to a block takes, at most."""

_pack_plain = msgpack.Packer(autoreset=True, strict_types=True).pack
"""Packs nothing but msgpack's own types, of which a key can only be a plain one: that can be read again."""


def pack(message: BytesMessage, series: Series, number: int, given: BytesMessage | None = None) -> Packed:
    """`message` as it is now, under an id. The data is shared if it cannot change.

    Without tracking of its own it has that of `given`, the message that it was made from. Raises `WireError` where
    meta or tracking hold what cannot be sent, `TypeError` for data that is not bytes-like.
    """
    data = message.data
    if type(data) is not bytes:
        if (loan := loan_of(message)) is not None:
            loan.seal()
        data = _unchangeable(data)
    return packed_with(message, series, number, given, data)


def packed_with(message: BytesMessage, series: Series, number: int, given: BytesMessage | None, data: Data) -> Packed:
    """`message` made ready with `data` in the place of its own: bytes that cannot change, or a place in an arena."""
    header = message._header
    if isinstance(header, tuple):
        meta, tracking = header
        inherits = tracking == _NIL and given is not message
    else:
        meta = _packed_meta(header.meta) if header.meta else _EMPTY
        inherits = header.tracking is None
        tracking = _NIL if inherits else _packed_tracking(header.tracking)
    if inherits and given is not None:
        tracking = _tracking_of(given)
    size = len(data) if type(data) is not Placed else REFERENCE_BYTES
    weight = size + len(meta) + len(tracking) + series.weight + _OVERHEAD
    if not message.tags:
        return series, number, meta, tracking, data, weight, _NO_TAGS
    tags = _packed_tags(message.tags)
    return series, number, meta, tracking, data, weight + len(tags), tags


_packed_before: dict[Sequence[str], bytes] = {}
_read_before: dict[tuple[str, ...], tuple[str, ...]] = {}


def _packed_tags(tags: Sequence[str]) -> bytes:
    """Raises `TagsError`, and `WireError` for text that cannot be sent."""
    try:
        return _packed_before[tags]
    except (KeyError, TypeError):
        tags = tuple_of(tags)
    try:
        packed: bytes = msgpack.packb(tags)
    except ValueError as error:
        raise WireError(f"a message's tags cannot be sent: {error}") from error
    if len(_packed_before) >= _REMEMBERED:
        _packed_before.clear()
    _packed_before[tags] = packed
    return packed


def _tracking_of(message: BytesMessage) -> bytes:
    header = message._header
    if isinstance(header, tuple):
        return header[1]
    return _NIL if header.tracking is None else _packed_tracking(header.tracking)


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
    if type(meta) is dict or isinstance(meta, dict | bytes):
        return _packed(meta, "a message's meta")
    raise WireError(f"a message's meta is a dict or bytes, not a {type(meta).__name__}")


def _packed_tracking(tracking: Any) -> bytes:
    if not isinstance(tracking, dict):
        raise WireError(f"a message's tracking is a dict or None, not a {type(tracking).__name__}")
    return _packed(tracking, "a message's tracking") if tracking else _NIL


def _packed(value: dict[Any, Any] | bytes, what: str) -> bytes:
    try:
        packed: bytes = _pack_plain(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _pack_checked(value, what)
    # what is short cannot be nested deeper than can be read
    return packed if len(packed) <= _SHORT else _pack_checked(value, what)


def _pack_checked(value: Any, what: str) -> bytes:
    try:
        packed: bytes = msgpack.packb(value, default=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"{what} cannot be sent: {error}; use numbers, text, bytes, lists, dicts") from error
    try:
        # some values can be written and not read: better that this message fails now than whoever reads it later
        msgpack.unpackb(packed, strict_map_key=False)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise WireError(f"{what} could not be read again: {error}; use text or numbers as keys") from error
    return packed


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays come into metas unnoticed; they travel as plain numbers and lists."""
    to_list = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"it holds a {type(value).__module__}.{type(value).__qualname__}")
    return to_list()


def encode(messages: Sequence[Packed], about: dict[str, Any] | None = None) -> bytes:
    """The payload of a batch."""
    return encode_named(messages, about)[0]


def encode_named(messages: Sequence[Packed], about: dict[str, Any] | None = None) -> tuple[bytes, str]:
    """The payload of a batch, and the batch's id: a hash of its members', so that the broker knows it again."""
    series, numbers, metas, trackings, data, _, tags = zip(*messages, strict=True) if messages else ((),) * 7
    runs = runs_of(series, numbers)
    ids: bytes = msgpack.packb([(run.series.prefix, run.series.suffix, run.first, run.length) for run in runs])
    head = b"".join(
        (
            b"\x95",  # an array of five
            ids,
            _column(metas, _EMPTY),
            _column(trackings, _NIL),
            msgpack.packb(tuple(map(len, data))),
            _packed_about(about or {}, tags),
        )
    )
    return b"".join((_LENGTH.pack(len(head)), head, *data)), hashlib.blake2b(ids, digest_size=16).hexdigest()


def _packed_about(about: dict[str, Any], tags: Sequence[bytes]) -> bytes:
    if tags.count(_NO_TAGS) == len(tags):
        return _pack_checked(about, "what is known about a batch") if about else _EMPTY
    known = _pack_checked(about, "what is known about a batch") if about else _EMPTY
    packer = msgpack.Packer()
    head: bytes = packer.pack_map_header(len(about) + 1)
    column: bytes = packer.pack_array_header(len(tags))
    before: bytes = packer.pack_map_header(len(about))
    return b"".join((head, known[len(before) :], _TAGS, column, *tags))


def _column(values: Sequence[bytes], nothing: bytes) -> bytes:
    packed: bytes = _NIL if values.count(nothing) == len(values) else msgpack.packb(values)
    return packed


def check_format(format: str | None) -> None:
    """Raises `WireError` for a version or codec that this version does not read."""
    if format != FORMAT and format not in OLDER:
        raise WireError(f"unknown wire format {format!r}: this version reads {FORMAT!r}")


class Decoded(NamedTuple):
    """A batch: its messages, their ids, one by one and as runs, and what is known about it as a whole, but for tags."""

    messages: list[BytesMessage]
    ids: list[tuple[Series, int]]
    runs: list[Run]
    about: dict[str, Any]


def decode(payload: bytes, port: str | None = None) -> Decoded:
    """Raises `WireError` for anything that is not a batch. What is in metas and trackings is not looked at."""
    view = memoryview(payload)
    try:
        (length,) = _LENGTH.unpack_from(payload)
        ids, metas, trackings, sizes, about = msgpack.unpackb(view[4 : 4 + length], strict_map_key=False)
    except (struct.error, ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise WireError(f"not a batch of messages: {error}") from error
    _check_head(metas, trackings, sizes, about, len(payload) - 4 - length)
    runs = _read_runs(ids, len(sizes))
    filed = runs[0].ids() if len(runs) == 1 else [one for run in runs for one in run.ids()]
    messages: list[BytesMessage] = []
    new = BytesMessage.__new__
    end = 4 + length
    columns = zip(filed, sizes, metas or repeat(_EMPTY), trackings or repeat(_NIL))  # noqa: B905 - repeat has no end
    for message_id, size, meta, tracking in columns:
        start, end = end, end + size
        # what __init__ does, without the cost of calling it: this is the path of every message
        message = new(BytesMessage)
        message._header = meta, tracking
        message._id = message_id
        message.data = payload[start:end] if size < VIEW_FROM else view[start:end]
        message.port = port
        message.target = None
        message.tags = ()
        messages.append(message)
    if "tags" in about:
        _give_tags(messages, about.pop("tags"))
    return Decoded(messages, filed, runs, about)


def _give_tags(messages: list[BytesMessage], column: Any) -> None:
    if type(column) is not list or len(column) != len(messages):
        raise WireError(f"not a batch of messages: there are not tags for each of its {len(messages)} messages")
    for message, tags in zip(messages, column, strict=True):
        if type(tags) is not list:
            raise WireError("not a batch of messages: its tags are not lists of texts")
        if tags:
            message.tags = _tags_read(tuple(tags))


def _tags_read(tags: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return _read_before[tags]
    except (KeyError, TypeError):
        pass
    if not all(type(tag) is str and tag for tag in tags):
        raise WireError("not a batch of messages: its tags are not lists of texts")
    if len(_read_before) >= _REMEMBERED:
        _read_before.clear()
    _read_before[tags] = tags
    return tags


def _read_runs(ids: Any, count: int) -> list[Run]:
    """The runs, with every id where `ids.file` files it: else one message would have several places."""
    try:
        runs = list(_runs(ids))
    except (ValueError, TypeError) as error:
        raise WireError(f"not a batch of messages: its ids are not what they should be: {error}") from error
    if (length := sum(run.length for run in runs)) != count:
        raise WireError(f"not a batch of messages: {length} ids and {count} sizes")
    return runs


def _runs(ids: Any) -> Iterator[Run]:
    """Behind a run, one with larger numbers of the same series is filed alike: messages of a key are many such runs."""
    last: Run | None = None
    for prefix, suffix, first, length in ids:
        if (
            last is None
            or prefix != last.series.prefix
            or suffix != last.series.suffix
            or type(first) is not int
            or type(length) is not int
            or not last.first < first < MOST - length
            or length < 1
            or last.first < 0
        ):
            last = _read_run(prefix, suffix, first, length)
        else:
            last = Run(last.series, first, length)
        yield last


def _read_run(prefix: Any, suffix: Any, first: Any, length: Any) -> Run:
    if (type(prefix), type(suffix), type(first), type(length)) != (str, str, int, int):
        raise TypeError("a run is prefix, suffix, first number and length")
    if length < 1 or first + length > MOST or (first < 0 and length > 1):
        raise ValueError(f"a run of {length} from {first}")
    run = Run(series_of(prefix, suffix), first, length)
    if file(text(run.series, first)) != (run.series, first):
        raise ValueError(f"{text(run.series, first)!r} does not count up there")
    return run


def _check_head(metas: Any, trackings: Any, sizes: Any, about: Any, rest: int) -> None:
    if type(sizes) is not list or not {int}.issuperset(map(type, sizes)):
        raise WireError("not a batch of messages: its sizes are not what they should be")
    _check_column("metas", metas, len(sizes))
    _check_column("trackings", trackings, len(sizes))
    if type(about) is not dict:
        raise WireError("not a batch of messages: what is known about it is not a map")
    if sizes and min(sizes) < 0:
        raise WireError("not a batch of messages: there is a size below 0")
    if sum(sizes) != rest:
        raise WireError(f"a batch of {len(sizes)} messages announces {sum(sizes)} bytes of data and has {rest}")


def _check_column(name: str, column: Any, length: int) -> None:
    if column is None:
        return
    if type(column) is not list or not {bytes}.issuperset(map(type, column)):
        raise WireError(f"not a batch of messages: its {name} are not what they should be")
    if len(column) != length:
        raise WireError(f"not a batch of messages: {length} sizes and {len(column)} {name}")

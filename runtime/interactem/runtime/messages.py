"""What travels between operators: `BytesMessage`, its header, and numpy arrays inside it."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgpack

from interactem.runtime.errors import ArrayError, TagsError, WireError
from interactem.runtime.ids import Series, text
from interactem.runtime.lending import Loan, borrow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

Buffer = bytes | bytearray | memoryview
Meta = dict[str, Any] | bytes
PackedHeader = tuple[bytes, bytes]
"""Meta and tracking as they are on the wire."""

VIEW_FROM = 65_536
"""Data of at least this many bytes reaches a kernel as a read-only `memoryview`, smaller data as `bytes`."""


class MessageSubject(enum.StrEnum):
    """What a message holds. `BYTES`: the data itself."""

    BYTES = "bytes"


class MessageHeader:
    """What is known about a message beside its data.

    `meta` is the author's: a dict of values that msgpack can hold (numbers, text, bytes, lists, dicts), or bytes.
    `tracking` is a dict that follows a message through the pipeline, or None.
    """

    __slots__ = ("meta", "subject", "tracking")

    def __init__(
        self,
        subject: MessageSubject = MessageSubject.BYTES,
        meta: Meta | None = None,
        tracking: dict[str, Any] | None = None,
    ) -> None:
        self.subject = subject
        self.meta: Meta = {} if meta is None else meta
        self.tracking = tracking

    def __repr__(self) -> str:
        return f"MessageHeader(subject={self.subject.name}, meta={self.meta!r}, tracking={self.tracking!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MessageHeader):
            return NotImplemented
        return (self.subject, self.meta, self.tracking) == (other.subject, other.meta, other.tracking)

    __hash__ = None  # type: ignore[assignment]  # it is mutable


class BytesMessage:
    """A header and data.

    `data` is bytes-like and is not copied on the way to the kernel: under 64 KiB it arrives as `bytes`, from there
    on as a read-only `memoryview`. `port` is the input port that the message came in on, None in a message that a
    kernel makes. `target` is the output port that it goes to, None for every one. `tags` are texts that edges choose
    messages by; they stay on the message, and whoever it comes to can read them. `id` is the message's own within the
    run (None until the runtime has given it one).

    A message that came in is unpacked where it is looked at: reading `header` raises `WireError` where it is not one.
    """

    __slots__ = ("_header", "_id", "_loan", "data", "port", "tags", "target")

    _loan: Loan  # of messages that `empty` has made; others do not have it at all
    _header: MessageHeader | PackedHeader
    _id: str | tuple[Series, int] | None

    def __init__(
        self,
        header: MessageHeader | None = None,
        data: Buffer = b"",
        *,
        port: str | None = None,
        target: str | None = None,
        tags: Sequence[str] = (),
        id: str | None = None,
    ) -> None:
        self._header = MessageHeader() if header is None else header
        self._id = id
        self.data = data
        self.port = port
        self.target = target
        self.tags = tuple_of(tags) if tags else ()

    @property
    def header(self) -> MessageHeader:
        header = self._header
        if isinstance(header, tuple):
            header = self._header = _unpacked(*header)
        return header

    @header.setter
    def header(self, header: MessageHeader) -> None:
        self._header = header

    @property
    def id(self) -> str | None:
        if isinstance(self._id, tuple):
            self._id = text(*self._id)
        return self._id

    @id.setter
    def id(self, id: str | None) -> None:
        self._id = id

    @property
    def meta(self) -> dict[str, Any]:
        """The header's meta as a dict. Raises `TypeError` where it is bytes."""
        meta = self.header.meta
        if not isinstance(meta, dict):
            raise TypeError("this message's meta is bytes, not a dict: read message.header.meta")
        return meta

    def to(self, port: str, tags: Sequence[str] | None = None) -> BytesMessage:
        """The same message, addressed to one output port. The data is shared, not copied.

        With `tags`, these are its tags instead of those that it has. Raises `TagsError`.
        """
        addressed = BytesMessage(None, self.data, target=port, tags=self.tags if tags is None else tags)
        addressed._header = self._header
        if (loan := loan_of(self)) is not None:
            addressed._loan = loan
        return addressed

    @classmethod
    def empty(cls, shape: int | Sequence[int], dtype: DTypeLike = float, /, **meta: Any) -> BytesMessage:
        """A message whose `array` has this shape and dtype, and is there to be written to: what is in it is arbitrary.

        In a replica whose readers are on the same host the array lies in shared memory, if there is room, so that
        sending the message copies nothing. Once it is sent, its array cannot be written to any more. Raises
        `ArrayError` for dtypes that cannot be sent.
        """
        import numpy as np

        made, size = np.dtype(dtype), (shape,) if isinstance(shape, int) else tuple(map(int, shape))
        _check_dtype(made)
        loan = borrow(made.itemsize * math.prod(size))
        view = loan.memory.data.toreadonly()
        loan.give(view, loan.memory.view(made).reshape(size))
        message = cls(MessageHeader(meta={**meta, "dtype": made.str, "shape": list(size)}), view)
        message._loan = loan
        return message

    @classmethod
    def from_array(cls, array: NDArray[Any], /, **meta: Any) -> BytesMessage:
        """A message that holds `array`; its dtype and shape go into the meta, beside what `meta` adds.

        The array's memory is shared where it is C-contiguous, else copied once. Raises `ArrayError` for arrays of
        Python objects and of structured dtypes.
        """
        import numpy as np

        _check_dtype(array.dtype)
        contiguous = np.ascontiguousarray(array)
        described: dict[str, Any] = {**meta, "dtype": array.dtype.str, "shape": list(array.shape)}
        return cls(MessageHeader(meta=described), contiguous.reshape(-1).view(np.uint8).data)

    @property
    def array(self) -> NDArray[Any]:
        """The array in the data, without a copy. Raises `ArrayError` where there is none.

        It is read-only, but in a message that `empty` has made and that was not sent so far.
        """
        loan = loan_of(self)
        if loan is not None and loan.array is not None:
            return loan.array
        return _array(self.header.meta, self.data)

    def __reduce__(self) -> tuple[Any, ...]:
        # by value: what came in on the wire together is not copied with it
        return _made, (self.header, self.data, self.port, self.target, self.id, self.tags)

    def __repr__(self) -> str:
        size = self.data.nbytes if isinstance(self.data, memoryview) else len(self.data)
        return f"BytesMessage(id={self.id!r}, port={self.port!r}, meta={self.header.meta!r}, data={size} bytes)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BytesMessage):
            return NotImplemented
        same = self.header == other.header and tuple(self.tags) == tuple(other.tags)
        return same and bytes(self.data) == bytes(other.data)

    __hash__ = None  # type: ignore[assignment]  # it is mutable


def tuple_of(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags as they are kept. Raises `TagsError` for what are none."""
    if not isinstance(tags, list | tuple | set | frozenset) or not all(type(tag) is str and tag for tag in tags):
        raise TagsError(tags)
    return tuple(tags) if isinstance(tags, list | tuple) else tuple(sorted(tags))


def loan_of(message: BytesMessage) -> Loan | None:
    """The memory that `empty` has borrowed for a message, if its data is still there."""
    loan = getattr(message, "_loan", None)
    return loan if loan is not None and message.data is loan.view else None


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject or dtype.names is not None:
        raise ArrayError(f"an array of {dtype} cannot be sent: use numbers, booleans or fixed-length text")


def _made(
    header: MessageHeader, data: Buffer, port: str | None, target: str | None, id: str | None, tags: tuple[str, ...]
) -> BytesMessage:
    return BytesMessage(header, data, port=port, target=target, tags=tags, id=id)


def _unpacked(meta: bytes, tracking: bytes) -> MessageHeader:
    """Raises `WireError` where meta is neither a dict nor bytes, or tracking neither a dict nor None."""
    try:
        values = msgpack.unpackb(meta, strict_map_key=False), msgpack.unpackb(tracking, strict_map_key=False)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise WireError(f"a message's meta or tracking cannot be read: {error}") from error
    if type(values[0]) not in (dict, bytes) or type(values[1]) not in (dict, type(None)):
        raise WireError("a message's meta or tracking is not what it should be")
    return MessageHeader(MessageSubject.BYTES, *values)


def _array(meta: Meta | Mapping[str, Any], data: Buffer) -> NDArray[Any]:
    import numpy as np

    if not isinstance(meta, dict) or "dtype" not in meta or "shape" not in meta:
        raise ArrayError("the message's meta has no dtype and shape: make it with BytesMessage.from_array(array)")
    try:
        flat: NDArray[Any] = np.frombuffer(data, dtype=np.dtype(meta["dtype"]))
        array = flat.reshape([int(n) for n in meta["shape"]])
    except (TypeError, ValueError, OverflowError, SyntaxError, LookupError) as error:  # numpy evaluates some texts
        size = memoryview(data).nbytes
        raise ArrayError(
            f"{size} bytes do not hold an array of dtype {meta['dtype']!r:.80} "
            f"and shape {meta['shape']!r:.80}: {error!s:.200}"
        ) from error
    array.flags.writeable = False
    return array

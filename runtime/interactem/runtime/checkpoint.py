"""What a replica with an effect stores before it acknowledges: its state, and the ids that went into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from interactem.runtime.applied import AppliedIds
from interactem.runtime.errors import WireError

VERSION = 1
_ARRAY = 1
_UNREADABLE = (
    ValueError, TypeError, OverflowError, RecursionError, msgpack.exceptions.UnpackException,
    SyntaxError, LookupError,  # numpy evaluates some texts as dtypes
)  # fmt: skip


@dataclass(slots=True)
class Checkpoint:
    """`state` covers the messages of `applied` and, in a source, what was sent before `position`.

    `outbox` holds what was sent because of them, as (subject, payload, id): it is stored again after a crash, as the
    state that made it is not made again. `finishes` counts the ends of the stream; `finished` says that the last of
    them is in `state` and `outbox`, `drained` that it was the run's end and not the source's own. `resumes` says that
    the source asked where to start.
    """

    state: dict[str, Any] = field(default_factory=dict)
    applied: AppliedIds = field(default_factory=AppliedIds)
    position: int = 0
    epoch: int = 0
    outbox: list[tuple[str, bytes, str]] = field(default_factory=list)
    finishes: int = 0
    finished: bool = False
    drained: bool = False
    resumes: bool = False
    place: bytes = b""
    """The position that a source that reads has given itself, encoded; empty before the first."""
    tables: list[Any] = field(default_factory=list)
    """Where what is kept per key is, as `Segments` says it; empty where there is nothing."""


def encode_state(state: dict[str, Any]) -> bytes:
    """Raises `WireError` where the state holds something that cannot be stored."""
    return pack_value(state, "context.state")


def pack_value(value: Any, what: str = "it") -> bytes:
    """Anything that a state may hold. Raises `WireError` for what cannot be stored."""
    try:
        packed: bytes = msgpack.packb(value, default=_pack_array)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(
            f"{what} cannot be stored: {error}; keep numbers, text, bytes, lists, dicts and numpy arrays in it"
        ) from error
    return packed


def unpack_value(packed: bytes) -> Any:
    return msgpack.unpackb(packed, ext_hook=_unpack_array, strict_map_key=False)


def decode_state(packed: bytes) -> dict[str, Any]:
    state: dict[str, Any] = msgpack.unpackb(packed, ext_hook=_unpack_array, strict_map_key=False)
    return state


def encode(checkpoint: Checkpoint, state: bytes) -> bytes:
    """`state` is the checkpoint's, already encoded."""
    packed: bytes = msgpack.packb(
        [
            VERSION,
            state,
            checkpoint.applied.to_value(),
            checkpoint.position,
            checkpoint.epoch,
            checkpoint.outbox,
            checkpoint.finishes,
            checkpoint.finished,
            checkpoint.drained,
            checkpoint.resumes,
            checkpoint.place,
            checkpoint.tables,
        ]
    )
    return packed


def decode(packed: bytes, partitions: Mapping[int, int] | None = None) -> Checkpoint:
    """`partitions` are those of the edges that the replica reads. Raises `WireError` for what is no checkpoint."""
    try:
        version, *rest = msgpack.unpackb(packed, strict_map_key=False)
        if version != VERSION:
            raise WireError(f"a checkpoint of version {version!r}; this runtime reads {VERSION}")
        rest += (b"", [])[len(rest) - 9 :] if len(rest) >= 9 else ()  # what older ones do not have
        state, applied, position, epoch, outbox, finishes, finished, drained, resumes, place, tables = rest
        checkpoint = Checkpoint(
            decode_state(state),
            AppliedIds.from_value(applied, partitions),
            position,
            epoch,
            [(subject, payload, name) for subject, payload, name in outbox],
            finishes,
            finished,
            drained,
            resumes,
            place,
            tables,
        )
    except WireError:
        raise
    except _UNREADABLE as error:
        raise WireError(f"not a checkpoint: {error!s:.200}") from error
    _check(checkpoint)
    return checkpoint


def _check(checkpoint: Checkpoint) -> None:
    counts = (checkpoint.position, checkpoint.epoch, checkpoint.finishes)
    flags = (checkpoint.finished, checkpoint.drained, checkpoint.resumes)
    if type(checkpoint.place) is not bytes:
        raise WireError("not a checkpoint: its place is not what it should be")
    if type(checkpoint.tables) is not list:
        raise WireError("not a checkpoint: its tables are not what they should be")
    if type(checkpoint.state) is not dict or {*map(type, counts)} != {int} or {*map(type, flags)} != {bool}:
        raise WireError("not a checkpoint: its state, counts or flags are not what they should be")
    if min(counts) < 0:
        raise WireError("not a checkpoint: it counts below 0")
    if any(tuple(map(type, stored)) != (str, bytes, str) for stored in checkpoint.outbox):
        raise WireError("not a checkpoint: what it has to send is not what it should be")


# numpy is imported where an array is met: it would be a third of the start of a replica that has none


def _pack_array(value: Any) -> Any:
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray) or value.dtype.hasobject or value.dtype.names is not None:
        raise TypeError(f"it holds a {type(value).__module__}.{type(value).__qualname__}")
    return msgpack.ExtType(_ARRAY, msgpack.packb([value.dtype.str, value.shape, value.tobytes()]))


def _unpack_array(code: int, data: bytes) -> Any:
    """Raises `WireError` for an unknown kind, `ValueError` or `TypeError` for what is no array."""
    if code != _ARRAY:
        raise WireError(f"a checkpoint holds a value of an unknown kind {code}")
    dtype, shape, content = msgpack.unpackb(data)
    import numpy as np

    return np.frombuffer(content, dtype=dtype).reshape(shape).copy()

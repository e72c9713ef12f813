"""`BatchedFrames`: the frames that travel in one message, dense or sparse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from distiller_streaming.errors import FrameFormatError
from distiller_streaming.headers import FramesHeader
from interactem.runtime import BytesMessage, MessageHeader

Array = NDArray[Any]

COUNT = np.dtype("<u4")


@dataclass(frozen=True, slots=True, eq=False)
class BatchedFrames:
    """Frames at several positions of one scan.

    Dense: `array` has shape (frames, rows, columns), of integers, floats or booleans, and `counts` is None.

    Sparse: `array` is the one-dimensional list of electron events of all frames, one after the other; an event is
    the flat index of its pixel, row * columns + column, and a pixel hit twice comes twice. `counts[i]` is how many
    of them belong to frame i.

    On the wire a dense batch is the array's memory in C order; a sparse one is the counts (uint32) and then the
    events (uint16 where they fit, else uint32). Both are little-endian there, and read without a copy.

    Raises `FrameFormatError` where array and header do not fit together.
    """

    header: FramesHeader
    array: Array
    counts: Array | None = None

    def __post_init__(self) -> None:
        if self.counts is None:
            self._check_dense()
        else:
            self._check_sparse(self.counts)

    def _check_dense(self) -> None:
        expected = (len(self.header.positions), *self.header.frame_shape)
        if self.array.shape != expected:
            raise FrameFormatError(f"the header speaks of frames of shape {expected}, the array has {self.array.shape}")
        if self.array.dtype.kind not in "uifb":
            raise FrameFormatError(f"frames hold integers, floats or booleans, not {self.array.dtype}")

    def _check_sparse(self, counts: Array) -> None:
        if counts.shape != (len(self.header.positions),) or self.array.ndim != 1:
            raise FrameFormatError(
                f"{len(self.header.positions)} sparse frames have one count each and a flat list of events, "
                f"not counts of shape {counts.shape} and events of shape {self.array.shape}"
            )
        if self.array.dtype.kind not in "ui" or counts.dtype.kind not in "ui":
            raise FrameFormatError(f"events and counts are integers, not {self.array.dtype} and {counts.dtype}")
        if int(counts.sum(dtype=np.int64)) != self.array.size:
            raise FrameFormatError(
                f"the counts add up to {counts.sum(dtype=np.int64)} events, {self.array.size} are there"
            )
        pixels = math.prod(self.header.frame_shape)
        if self.array.size and (int(self.array.max()) >= pixels or int(self.array.min()) < 0):
            raise FrameFormatError(f"an event lies outside a frame of shape {self.header.frame_shape}")

    @property
    def sparse(self) -> bool:
        """Whether `array` holds events rather than pixels."""
        return self.counts is not None

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.header.positions)

    def to_dense(self, dtype: DTypeLike = np.uint32) -> BatchedFrames:
        """The same frames with `array` of shape (frames, rows, columns); for sparse ones, counts of type `dtype`."""
        if self.counts is None:
            return self
        pixels = math.prod(self.header.frame_shape)
        frame = np.repeat(np.arange(len(self), dtype=np.int64), self.counts)
        flat = np.bincount(frame * pixels + self.array, minlength=len(self) * pixels)
        return BatchedFrames(self.header, flat.astype(dtype).reshape(len(self), *self.header.frame_shape))

    def to_bytes_message(self) -> BytesMessage:
        """The message that `from_bytes_message` reads. Dense frames in C order are not copied."""
        if self.counts is None:
            array = np.ascontiguousarray(self.array, dtype=self.array.dtype.newbyteorder("<"))
            message = _message(self.header, "dense", array.dtype, array.reshape(-1).view(np.uint8).data)
            message.meta["shape"] = list(array.shape)  # so that it is an array's message, too
            return message
        dtype = event_dtype(self.header)
        events = self.counts.astype(COUNT).tobytes() + self.array.astype(dtype).tobytes()
        return _message(self.header, "sparse", dtype, events)

    @classmethod
    def from_bytes_message(cls, message: BytesMessage) -> BatchedFrames:
        """The frames in a message, as read-only views of its data.

        Raises `FrameFormatError` where it does not hold frames.
        """
        meta = message.header.meta
        if not isinstance(meta, dict) or meta.get("kind") not in ("dense", "sparse"):
            raise FrameFormatError("this message does not hold frames: its meta has no kind, dense or sparse")
        header = FramesHeader.from_meta(meta)
        try:
            dtype = np.dtype(meta["dtype"])
            if meta["kind"] == "dense":
                shape = (len(header.positions), *header.frame_shape)
                return cls(header, _frozen(np.frombuffer(message.data, dtype)).reshape(shape))
            at = len(header.positions) * COUNT.itemsize
            counts = np.frombuffer(message.data, COUNT, count=len(header.positions))
            return cls(header, _frozen(np.frombuffer(message.data, dtype, offset=at)), _frozen(counts))
        except FrameFormatError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            size = memoryview(message.data).nbytes
            raise FrameFormatError(
                f"{size} bytes do not hold {len(header.positions)} {meta['kind']} frames of shape {header.frame_shape} "
                f"and type {meta.get('dtype')!r}: {error}"
            ) from error


def event_dtype(header: FramesHeader) -> np.dtype[Any]:
    """The smallest type that holds the index of every pixel of a frame."""
    return np.dtype("<u2") if math.prod(header.frame_shape) <= 65_536 else np.dtype("<u4")


def _message(header: FramesHeader, kind: str, dtype: np.dtype[Any], data: bytes | memoryview) -> BytesMessage:
    meta = {**header.to_meta(), "kind": kind, "dtype": dtype.str}
    return BytesMessage(MessageHeader(meta=meta), data)


def _frozen(array: ArrayLike) -> Array:
    view = np.asarray(array)
    view.flags.writeable = False
    return view

"""From dense frames to electron events."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from distiller_streaming.batches import BatchedFrames, event_dtype
from distiller_streaming.errors import FrameFormatError, SettingError

Array = NDArray[Any]
Method = Literal["counts", "peaks"]

MOST_EVENTS = 2**26
"""More events than this in one batch (of up to 4 bytes each) are not counting any more."""


def count_electrons(batch: BatchedFrames, method: Method = "counts", threshold: float = 0.0) -> BatchedFrames:
    """The electron events of a batch, as sparse frames; sparse frames are returned as they are.

    `counts`, for counting detectors: a pixel's value is its number of electrons, so a pixel of value v above
    `threshold` gives v events.

    `peaks`, for integrating detectors: a pixel above `threshold` (in the frame's units) that is higher than its
    eight neighbours gives one event; of equal neighbours, the first in row-column order does.

    Raises `SettingError` for an unknown method, and `FrameFormatError` where the frames do not hold counts, or so
    many that events are the wrong form for them.
    """
    if method not in get_args(Method):
        raise SettingError(f"method is one of {', '.join(get_args(Method))}, not {method!r}")
    if batch.sparse:
        return batch
    electrons = _counted(batch.array, threshold) if method == "counts" else _peaks(batch.array, threshold)
    return _events(batch, electrons)


def _counted(frames: Array, threshold: float) -> Array:
    if frames.dtype.kind == "f":
        raise FrameFormatError(
            f"frames of type {frames.dtype} do not hold counts: use the method peaks with a threshold"
        )
    if frames.dtype.kind == "b":
        frames = frames.view(np.uint8)
    if threshold <= 0 and frames.dtype.kind == "u":
        return frames
    return np.where(frames > max(threshold, 0.0), frames, 0)


def _peaks(frames: Array, threshold: float) -> Array:
    _, height, width = frames.shape
    values = frames.astype(np.float64)
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    peak = values > threshold
    for row in (0, 1, 2):
        for column in (0, 1, 2):
            neighbour = padded[:, row : row + height, column : column + width]
            if (row, column) < (1, 1):
                peak &= values > neighbour
            elif (row, column) > (1, 1):
                peak &= values >= neighbour
    return peak.view(np.uint8)


def _events(batch: BatchedFrames, electrons: Array) -> BatchedFrames:
    count, height, width = electrons.shape
    flat = electrons.reshape(-1)
    hit = np.flatnonzero(flat != 0)  # ten times as fast as on the counts themselves
    number = flat[hit].astype(np.int64)
    frame, pixel = np.divmod(hit, height * width)
    ends = np.searchsorted(frame, np.arange(count + 1))
    running = np.concatenate([[0], np.cumsum(number)])
    counts = np.diff(running[ends])
    if running[-1] > MOST_EVENTS:
        raise FrameFormatError(
            f"these {count} frames hold {running[-1]:,} electrons, over the bound of {MOST_EVENTS:,} events in a "
            "message: leave electron-count out and use the dense frames, or put fewer frames in a message"
        )
    return BatchedFrames(batch.header, np.repeat(pixel.astype(event_dtype(batch.header)), number), counts)

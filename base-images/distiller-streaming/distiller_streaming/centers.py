"""The centre of mass of diffraction frames.

For counts n(y, x) at rows y and columns x of a frame, in pixels from 0 at the first row and column,

    centre = (Σ n·y / Σ n,  Σ n·x / Σ n)        (row, column)

Sums of integer counts are exact (below 2**53), so the result is the one correctly rounded quotient: the same for
dense and sparse frames, and whatever the frames' order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distiller_streaming.batches import BatchedFrames

Array = NDArray[Any]
Centers = NDArray[np.float64]
Pair = tuple[float, float]

CHUNK_BYTES = 2**20
"""Frames are turned into floats in pieces of about this size, which stay in the processor's cache."""
EXACT_IN_FLOAT32 = 2**24
"""Sums of integers up to here are exact in float32, in half the time."""


def com_sparse(
    batch: BatchedFrames,
    init_center: Pair | None = None,
    crop_to: Pair | None = None,
    replace_nans: bool = True,
) -> Centers:
    """The centre of mass of each frame of a batch, sparse or dense: shape (2, frames), rows then columns, in pixels.

    `crop_to` is a half width (rows, columns) in pixels: only rows and columns with

        centre - crop < index < centre + crop

    count, around `init_center` (row, column), or around the frame's own centre of all pixels where that is None.
    Without `crop_to` the whole frame counts, and `init_center` has no part in it.

    A frame with nothing inside has no centre and is NaN; `replace_nans` puts there, for each component, the mean
    over the batch's other frames (NaN where there is none).
    """
    if batch.counts is None:
        centers = _dense(batch.array, init_center, crop_to)
    else:
        centers = _sparse(batch.array, batch.counts, batch.header.frame_shape[1], init_center, crop_to)
    return fill_nans(centers) if replace_nans else centers


def fill_nans(centers: Centers) -> Centers:
    """`centers` (its first axis the components) with each component's NaNs replaced by the mean of its other values."""
    filled = centers.copy()
    for component in filled:
        missing = np.isnan(component)
        if missing.any() and not missing.all():
            component[missing] = component[~missing].mean()
    return filled


def _dense(frames: Array, init_center: Pair | None, crop_to: Pair | None) -> Centers:
    if crop_to is None:
        return _whole(frames)
    if init_center is not None:
        return _window(frames, init_center, crop_to)
    centers = np.full((2, len(frames)), np.nan)
    first = _whole(frames)
    for index in np.flatnonzero(np.isfinite(first).all(axis=0)):
        center = (float(first[0, index]), float(first[1, index]))
        centers[:, index : index + 1] = _window(frames[index : index + 1], center, crop_to)
    return centers


def _window(frames: Array, center: Pair, crop: Pair) -> Centers:
    rows, columns = (_inside(c, half, size) for c, half, size in zip(center, crop, frames.shape[1:], strict=True))
    return _whole(frames[:, rows, columns], rows.start, columns.start)


def _inside(center: float, half: float, size: int) -> slice:
    """The indices with center - half < index < center + half, of those from 0 to size - 1."""
    start = min(max(math.floor(center - half) + 1, 0), size)
    return slice(start, max(min(math.ceil(center + half), size), start))


def _whole(frames: Array, first_row: int = 0, first_column: int = 0) -> Centers:
    """Centres of all pixels of `frames`, whose first row and column have these indices."""
    count, height, width = frames.shape
    total, row_sum, column_sum = np.zeros(count), np.zeros(count), np.zeros(count)
    columns = np.arange(first_column, first_column + width, dtype=np.float64)
    # one product gives, for each column, Σ n and Σ n·y over its rows
    weights = np.stack([np.ones(height), np.arange(first_row, first_row + height, dtype=np.float64)])
    step = max(1, CHUNK_BYTES // max(1, height * width * 4))
    for start in range(0, count, step):
        part = slice(start, start + step)
        sums = _products(weights, frames[part])
        total[part] = sums[:, 0].sum(axis=1)
        row_sum[part] = sums[:, 1].sum(axis=1)
        column_sum[part] = (sums[:, 0] * columns).sum(axis=1)
    return _quotients(row_sum, column_sum, total)


def _products(weights: Array, frames: Array) -> Array:
    """`weights @ frames` in float64; for integers exact as long as no sum reaches 2**53."""
    if frames.dtype.kind == "u" and frames.size and int(frames.max()) * weights.sum(axis=1).max() < EXACT_IN_FLOAT32:
        products = weights.astype(np.float32) @ frames.astype(np.float32, order="C")
        return products.astype(np.float64)
    return np.asarray(weights @ frames.astype(np.float64, order="C"))


def _sparse(events: Array, counts: Array, width: int, init_center: Pair | None, crop_to: Pair | None) -> Centers:
    rows, columns = np.divmod(events.astype(np.int64), width)
    if crop_to is None:
        return _events(rows, columns, counts)
    frame = np.repeat(np.arange(len(counts)), counts)
    if init_center is None:
        # NaN compares as outside: a frame without a first centre keeps none
        center_row, center_column = _events(rows, columns, counts)[:, frame]
    else:
        center_row, center_column = np.float64(init_center[0]), np.float64(init_center[1])
    inside = _between(rows, center_row, crop_to[0]) & _between(columns, center_column, crop_to[1])
    return _events(rows[inside], columns[inside], np.bincount(frame[inside], minlength=len(counts)))


def _between(index: Array, center: Any, half: float) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (center - half < index) & (index < center + half)
    return result


def _events(rows: Array, columns: Array, counts: Array) -> Centers:
    """Centres of the events of each frame; the events of one frame follow each other."""
    ends = np.cumsum(counts, dtype=np.int64)
    return _quotients(_sums(rows, ends), _sums(columns, ends), np.diff(ends, prepend=0))


def _sums(values: Array, ends: Array) -> Array:
    running = np.concatenate([[0], np.cumsum(values)])
    return np.diff(running[ends], prepend=0)


def _quotients(row_sum: Array, column_sum: Array, total: Array) -> Centers:
    centers = np.full((2, len(total)), np.nan)
    something = total != 0
    np.divide(row_sum, total, out=centers[0], where=something)
    np.divide(column_sum, total, out=centers[1], where=something)
    return centers

"""`open_scan`: the frames of a 4D-STEM file, read piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distiller_streaming import rosetta
from distiller_streaming.errors import ScanFileError
from distiller_streaming.headers import Shape

Array = NDArray[Any]

PIECE_BYTES = 32 * 2**20
"""About this much of a file is in memory at once (one frame, or one of the file's own chunks, where that is more)."""


@dataclass(slots=True)
class Scan:
    """The frames of a file, in scan order. `data` has axes scan row, scan column, frame row, frame column.

    `data` is a numpy array (of a mapped file) or a dask array; `piece` is (scan rows, scan columns) of what is read
    at once. `remark` says what is unusual about the file, or is empty.
    """

    path: Path
    data: Any
    piece: Shape
    remark: str = ""
    _held: tuple[range, Array] = field(default=(range(0), np.empty(0)), repr=False)

    @property
    def scan_shape(self) -> Shape:
        return int(self.data.shape[0]), int(self.data.shape[1])

    @property
    def frame_shape(self) -> Shape:
        return int(self.data.shape[2]), int(self.data.shape[3])

    @property
    def frame_bytes(self) -> int:
        return math.prod(self.frame_shape) * int(self.data.dtype.itemsize)

    def read(self, positions: range) -> Array:
        """The frames at consecutive flat scan positions, in native byte order: shape (frames, rows, columns).

        Raises `ScanFileError` where the file cannot be read there.
        """
        parts = [
            self._read_piece(piece)[max(positions.start - piece.start, 0) : positions.stop - piece.start]
            for piece in self._pieces(positions)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _pieces(self, positions: range) -> Iterator[range]:
        """The pieces, as flat positions, in which `positions` lie."""
        rows, columns = self.scan_shape
        high, wide = self.piece
        if wide < columns:
            at = positions.start
            while at < positions.stop:
                row, column = divmod(at, columns)
                start = row * columns + column // wide * wide
                stop = min(start + wide, (row + 1) * columns)
                yield range(start, stop)
                at = stop
            return
        for row in range(positions.start // columns // high * high, -(-positions.stop // columns), high):
            yield range(row * columns, min(row + high, rows) * columns)

    def _read_piece(self, piece: range) -> Array:
        # the last piece is held: messages are mostly smaller than it, and come one after the other
        if self._held[0] != piece:
            self._held = (piece, self._fetch(piece))
        return self._held[1]

    def _fetch(self, piece: range) -> Array:
        columns = self.scan_shape[1]
        first, last = divmod(piece.start, columns), divmod(piece.stop - 1, columns)
        part = self.data[first[0] : last[0] + 1, first[1] : last[1] + 1]
        try:
            if hasattr(part, "compute"):
                part = part.compute(scheduler="synchronous")
        except Exception as error:  # a plugin of RosettaSciIO raises whatever its file makes it stumble over
            raise ScanFileError(self.path, f"cannot be read at scan position {piece.start}: {error}") from error
        native = part.dtype.newbyteorder("=")
        return np.ascontiguousarray(part, dtype=native).reshape(-1, *self.frame_shape)


def open_scan(path: Path, scan_rows: int | None = None) -> Scan:
    """The scan in a file: `.npy`, or what RosettaSciIO reads. Four axes are scan row, scan column, frame row and frame
    column; three are a stack of frames, which is one scan row, or `scan_rows` of them.

    Raises `ScanFileError` where the file is not there, damaged, of an unknown format, or holds no scan.
    """
    path = path.resolve()  # a mount is a link without a suffix, and what lies beside its target belongs to it
    if not path.exists():
        raise ScanFileError(path, "there is no such file")
    if path.suffix.lower() == ".npy":
        data, remark = _map_numpy(path), ""
    else:
        data, remark = rosetta.read(path, PIECE_BYTES)
    _check(path, data)
    if data.ndim == 3:
        data = data.reshape(*_folded(path, data.shape[0], scan_rows), *data.shape[1:])
    elif scan_rows not in (None, data.shape[0]):
        raise ScanFileError(path, f"its scan has {data.shape[0]} rows: leave scan_rows out, it is not {scan_rows}")
    return Scan(path, data, _piece(data), remark)


def _map_numpy(path: Path) -> Array:
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ScanFileError(path, f"is not an .npy file that we can read: {error}") from error
    if not isinstance(loaded, np.ndarray):
        raise ScanFileError(path, "holds several arrays; save the scan's array alone, with numpy.save")
    return loaded


def _check(path: Path, data: Any) -> None:
    if data.ndim not in (3, 4):
        raise ScanFileError(
            path,
            f"holds an array of shape {tuple(data.shape)}; a scan has four axes (scan row, scan column, frame row, "
            "frame column), a stack of frames three",
        )
    if 0 in data.shape:
        raise ScanFileError(path, f"holds no frames: its array has shape {tuple(data.shape)}")
    if data.dtype.kind not in "uifb":
        raise ScanFileError(path, f"holds values of type {data.dtype}; frames are integers, floats or booleans")


def _folded(path: Path, frames: int, scan_rows: int | None) -> Shape:
    rows = 1 if scan_rows is None else scan_rows
    if rows < 1 or frames % rows:
        raise ScanFileError(path, f"its {frames} frames do not make {rows} scan rows of the same length")
    return rows, frames // rows


def _piece(data: Any) -> Shape:
    """(scan rows, scan columns) to read at once: whole rows of the file's own chunks if they fit, else what does."""
    columns = int(data.shape[1])
    frame = math.prod(data.shape[2:]) * int(data.dtype.itemsize)
    fit = max(1, PIECE_BYTES // max(1, frame))
    if fit < columns:
        return 1, fit
    chunk_rows = int(data.chunks[0][0]) if hasattr(data, "chunks") else 1
    rows = fit // columns
    return (rows // chunk_rows * chunk_rows or rows), columns

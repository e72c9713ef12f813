"""`FramesHeader`: which frames a message is about, so that each message stands alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distiller_streaming.errors import FrameFormatError

Shape = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FramesHeader:
    """Where a batch's frames lie in the scan.

    `scan_shape` is (rows, columns) of the scan, `frame_shape` (rows, columns) of a frame in pixels. `positions`
    holds, for each frame of the batch, its flat index in the scan: row * columns + column; no index comes twice.

    Raises `FrameFormatError` where these do not fit together.
    """

    scan_shape: Shape
    frame_shape: Shape
    positions: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "scan_shape", _shape("scan", self.scan_shape))
        object.__setattr__(self, "frame_shape", _shape("frame", self.frame_shape))
        object.__setattr__(self, "positions", _compact(self.positions))
        self._check_positions()

    def _check_positions(self) -> None:
        if not self.positions:
            return
        first, last = min(self.positions), max(self.positions)
        if first < 0 or last >= math.prod(self.scan_shape):
            outside = first if first < 0 else last
            raise FrameFormatError(
                f"scan position {outside} is outside a scan of shape {self.scan_shape} "
                f"(flat indices 0 to {math.prod(self.scan_shape) - 1})"
            )
        if not isinstance(self.positions, range) and len(set(self.positions)) < len(self.positions):
            raise FrameFormatError("a scan position comes twice in one batch")

    def to_meta(self) -> dict[str, Any]:
        """The header as values that a message's meta can hold."""
        positions = self.positions
        run = isinstance(positions, range)
        return {
            "scan_shape": list(self.scan_shape),
            "frame_shape": list(self.frame_shape),
            "positions": {"start": positions[0], "count": len(positions)} if run else list(positions),
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> FramesHeader:
        """The header that `to_meta` described. Raises `FrameFormatError` where there is none."""
        missing = [name for name in ("scan_shape", "frame_shape", "positions") if name not in meta]
        if missing:
            raise FrameFormatError(f"the message's meta has no {', '.join(missing)}: it does not come from frames")
        positions = meta["positions"]
        if isinstance(positions, Mapping):
            positions = _run(positions)
        return cls(meta["scan_shape"], meta["frame_shape"], positions)


def _run(positions: Mapping[str, Any]) -> range:
    try:
        start, count = int(positions["start"]), int(positions["count"])
    except (KeyError, TypeError, ValueError) as error:
        raise FrameFormatError(
            f"positions are {{start, count}} or a list of flat indices, not {positions!r}"
        ) from error
    return range(start, start + count)


def _shape(what: str, value: Iterable[int]) -> Shape:
    try:
        rows, columns = (int(n) for n in value)
    except (TypeError, ValueError) as error:
        raise FrameFormatError(f"a {what}'s shape is (rows, columns), not {value!r}") from error
    if rows < 1 or columns < 1:
        raise FrameFormatError(f"a {what} has at least one row and one column, not {rows} by {columns}")
    return rows, columns


def _compact(positions: Iterable[int]) -> Sequence[int]:
    """Consecutive positions as a range, which is all that needs to travel; others as a tuple."""
    if isinstance(positions, range) and positions.step == 1:
        return positions if positions else ()
    try:
        flat = tuple(int(position) for position in positions)
    except (TypeError, ValueError) as error:
        raise FrameFormatError(f"positions are flat indices of the scan, not {positions!r}") from error
    if flat and flat == tuple(range(flat[0], flat[0] + len(flat))):
        return range(flat[0], flat[0] + len(flat))
    return flat

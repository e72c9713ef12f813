"""The scan maps of the centre of mass, put together from partial results in any order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distiller_streaming.errors import FrameFormatError
from distiller_streaming.headers import Shape
from distiller_streaming.partials import COMPartial
from interactem.runtime import BytesMessage

EMISSIONS = 8
"""Into how many parts the scan is divided by what is emitted while it fills, unless the operator is told otherwise."""


class ScanMaps:
    """A view of a state dict (of values that msgpack and numpy hold) as the maps being filled.

    `com` has shape (2, scan rows, scan columns), float64, NaN where nothing has come. Every position is written by
    itself, so the result does not depend on the order in which they come.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    @property
    def started(self) -> bool:
        """Whether anything has come."""
        return "com" in self._state

    @property
    def filled(self) -> int:
        """How many positions have come."""
        return int(self._state.get("filled", 0))

    @property
    def total(self) -> int:
        """How many positions the scan has (0 before anything has come)."""
        return math.prod(self._state.get("scan_shape", (0,)))

    def add(self, partial: COMPartial) -> int:
        """Write a partial result in its place and return how many positions are filled.

        Raises `FrameFormatError`, and changes nothing, where it is of a scan of another shape, or brings a position
        that is there already with another value.
        """
        scan_shape = partial.header.scan_shape
        if not self.started:
            self._start(scan_shape)
        elif tuple(self._state["scan_shape"]) != scan_shape:
            raise FrameFormatError(
                f"a partial result of a scan of shape {scan_shape} came into one of {tuple(self._state['scan_shape'])}"
            )
        positions = np.asarray(partial.header.positions, dtype=np.int64)
        com, seen = self._state["com"].reshape(2, -1), self._state["seen"]
        self._refuse_contradictions(partial, positions[seen[positions]], com)
        new = int(np.count_nonzero(~seen[positions]))
        com[:, positions] = partial.array
        seen[positions] = True
        self._state["filled"] += new
        return self.filled

    def _start(self, scan_shape: Shape) -> None:
        self._state["scan_shape"] = list(scan_shape)
        self._state["com"] = np.full((2, *scan_shape), np.nan)
        self._state["seen"] = np.zeros(math.prod(scan_shape), dtype=np.bool_)
        self._state["filled"] = 0

    def _refuse_contradictions(self, partial: COMPartial, again: NDArray[np.int64], com: NDArray[np.float64]) -> None:
        if not again.size:
            return
        given = dict(zip(partial.header.positions, partial.array.T, strict=True))
        for position in again:
            if not np.array_equal(com[:, position], given[int(position)], equal_nan=True):
                raise FrameFormatError(
                    f"scan position {position} came twice, with centres {com[:, position].tolist()} and "
                    f"{given[int(position)].tolist()}: does the source send more than one scan?"
                )

    def to_bytes_message(self, *, final: bool = False) -> BytesMessage:
        """The maps as they are, as a message that holds an array.

        Its meta has `filled` and `total` positions and a `revision` that grows as the maps fill; what is `final`
        comes after all that was sent with as many positions.
        """
        revision = 2 * self.filled + int(final)
        return BytesMessage.from_array(
            self._state["com"], revision=revision, filled=self.filled, total=self.total, final=final
        )

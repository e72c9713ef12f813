"""`COMPartial`: the centres of mass of one batch of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distiller_streaming.errors import FrameFormatError
from distiller_streaming.headers import FramesHeader
from interactem.runtime import BytesMessage, MessageHeader


@dataclass(frozen=True, slots=True, eq=False)
class COMPartial:
    """The centres of mass at some positions of a scan.

    `array` has shape (2, positions) and type float64: rows, then columns, in pixels, NaN where a frame has none;
    `array[:, i]` belongs to `header.positions[i]`. Raises `FrameFormatError` where they do not fit together.
    """

    header: FramesHeader
    array: NDArray[np.float64]

    def __post_init__(self) -> None:
        expected = (2, len(self.header.positions))
        if self.array.shape != expected:
            raise FrameFormatError(f"centres of mass of these frames have shape {expected}, not {self.array.shape}")

    def to_bytes_message(self) -> BytesMessage:
        """The message that `from_bytes_message` reads."""
        shape = [2, len(self.header.positions)]
        meta = {**self.header.to_meta(), "kind": "com_partial", "dtype": "<f8", "shape": shape}
        return BytesMessage(MessageHeader(meta=meta), np.ascontiguousarray(self.array, dtype="<f8").tobytes())

    @classmethod
    def from_bytes_message(cls, message: BytesMessage) -> COMPartial:
        """The result in a message, as a read-only view of its data.

        Raises `FrameFormatError` where it holds none.
        """
        meta = message.header.meta
        if not isinstance(meta, dict) or meta.get("kind") != "com_partial":
            raise FrameFormatError("this message does not hold centres of mass: its meta's kind is not com_partial")
        header = FramesHeader.from_meta(meta)
        size = memoryview(message.data).nbytes
        if size != 16 * len(header.positions):
            raise FrameFormatError(f"{size} bytes do not hold the centres of mass of {len(header.positions)} frames")
        array = np.frombuffer(message.data, "<f8").reshape(2, -1)
        array.flags.writeable = False
        return cls(header, array)

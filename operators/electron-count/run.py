"""Turns dense frames into sparse electron events."""

from typing import Any

from distiller_streaming import BatchedFrames, count_electrons
from interactem.runtime import BytesMessage, operator


@operator
def count(inputs: BytesMessage, parameters: dict[str, Any]) -> BytesMessage:
    batch = BatchedFrames.from_bytes_message(inputs)
    electrons = count_electrons(batch, parameters.get("method", "counts"), parameters.get("threshold", 0.0))
    return electrons.to_bytes_message()

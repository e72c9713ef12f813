"""The centre of mass of each frame of a message."""

from typing import Any

from distiller_streaming import BatchedFrames, COMPartial, com_sparse
from interactem.runtime import BytesMessage, operator


def pair(parameters: dict[str, Any], name: str) -> tuple[float, float] | None:
    """(row, column) of a pair of parameters, where both are given; y is the row and x the column."""
    y, x = parameters.get(f"{name}_y"), parameters.get(f"{name}_x")
    return None if x is None or y is None else (y, x)


@operator
def center_of_mass(inputs: BytesMessage, parameters: dict[str, Any]) -> BytesMessage:
    batch = BatchedFrames.from_bytes_message(inputs)
    centers = com_sparse(
        batch,
        init_center=pair(parameters, "init_center"),
        crop_to=pair(parameters, "crop_to"),
        replace_nans=False,  # the others are in other messages
    )
    return COMPartial(header=batch.header, array=centers).to_bytes_message()

"""Computes arrays where they are sent from: nothing is copied after that."""

from collections.abc import Iterator
from typing import Any

from interactem.runtime import BytesMessage, Context, operator


@operator
def make(parameters: dict[str, Any], context: Context) -> Iterator[BytesMessage]:
    for index in range(context.position, parameters["count"]):
        message = BytesMessage.empty((parameters["size"],), "uint8")
        message.array.fill(index % 251)
        yield message

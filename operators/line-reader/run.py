"""Sends each line of a text file; where it is in the file is its position."""

from itertools import islice
from typing import Any

from interactem.runtime import BytesMessage, EndOfStream, MessageHeader, data_directory, operator


@operator.source
def read(position: int | None, most: int, parameters: dict[str, Any]) -> list[tuple[BytesMessage, int]]:
    offset = position or 0
    found: list[tuple[BytesMessage, int]] = []
    with (data_directory() / "file").open("rb") as file:
        file.seek(offset)
        for line in islice(file, most):
            if parameters["follow"] and not line.endswith(b"\n"):
                break  # somebody is still at it
            message = BytesMessage(MessageHeader(meta={"offset": offset}), line.rstrip(b"\r\n"))
            offset += len(line)
            found.append((message, offset))
    if not found and not parameters["follow"]:
        raise EndOfStream
    return found

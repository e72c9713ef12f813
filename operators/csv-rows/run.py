"""Sends each row of a CSV file, in the file's order: edges can choose by its tags, and divide by its values."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

from interactem.runtime import DATA_DIRECTORY, BytesMessage, Context, MessageHeader, operator


@operator
def rows(parameters: dict[str, Any], context: Context) -> Iterator[BytesMessage]:
    with (DATA_DIRECTORY / "file").open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        columns = next(reader, [])
        for number, cells in enumerate(islice(reader, context.position, None), context.position):
            values = dict(zip(columns, cells, strict=False))
            complete = len(cells) == len(columns) and all(cells)
            made = BytesMessage(MessageHeader(meta={"number": number, "row": values}), as_csv(columns, cells))
            yield made.to("rows", tags=["complete" if complete else "incomplete"])


def as_csv(*lines: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()

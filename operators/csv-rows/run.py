"""Sends each row of a CSV file, in the file's order: edges can choose by its tags, and divide by its values.

The source transform `placed` gives rows their event time and key, from columns that are named.
"""

import csv
import io
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from interactem.runtime import BytesMessage, Context, MessageHeader, data_directory, operator


def placed(message: BytesMessage, parameters: dict[str, Any]) -> BytesMessage | None:
    """The row with its event time and key in meta; None for one that is to be left out."""
    if parameters["complete"] and "complete" not in message.tags:
        return None
    row = message.meta["row"]
    time, key = (row.get(parameters.get(name)) for name in ("time", "key"))
    if time is not None and (moment := seconds(time)) is not None:
        message.meta["time"] = moment
    if key is not None:
        message.meta["key"] = key
    return message


def seconds(text: str) -> float | None:
    """Since 1970: of a number, or of ISO 8601, in UTC where it does not say. None for other text."""
    try:
        number = float(text)
    except ValueError:
        return of_iso(text)
    return number if math.isfinite(number) else None


def of_iso(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


@operator.source(transform=placed)
def rows(parameters: dict[str, Any], context: Context) -> Iterator[BytesMessage]:
    with (data_directory() / "file").open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        columns = next(reader, [])
        check_columns(parameters, columns)
        for number, cells in enumerate(islice(reader, context.position, None), context.position):
            values = dict(zip(columns, cells, strict=False))
            complete = len(cells) == len(columns) and all(cells)
            made = BytesMessage(MessageHeader(meta={"number": number, "row": values}), as_csv(columns, cells))
            yield made.to("rows", tags=["complete" if complete else "incomplete"])


def check_columns(parameters: dict[str, Any], columns: list[str]) -> None:
    """Raises `ValueError` where a parameter names a column that is not there."""
    for name in ("time", "key"):
        column = parameters.get(name)
        if column is not None and column not in columns:
            raise ValueError(f"{name}: there is no column {column!r}; the file has: {', '.join(columns)}")


def as_csv(*lines: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()

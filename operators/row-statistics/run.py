"""Statistics of a column of rows, for each minute and sensor."""

import csv
import io
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from interactem.runtime import BytesMessage, Fixed, MessageHeader, Window, operator

COLUMNS = ("sensor", "minute", "count", "mean", "least", "largest")


@operator.reduce(window=Fixed(60), key="meta.key", lateness=60, late="late")
def statistics(
    key: str, messages: Iterator[BytesMessage], window: Window, parameters: dict[str, Any]
) -> BytesMessage | None:
    column = parameters["column"]
    values = [float(value) for message in messages if (value := message.meta["row"].get(column))]
    if not values:
        return None
    minute = datetime.fromtimestamp(window.start, UTC).strftime("%Y-%m-%dT%H:%MZ")
    mean = math.fsum(values) / len(values)
    row = dict(zip(COLUMNS, (key, minute, len(values), mean, min(values), max(values)), strict=True))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([row.keys(), row.values()])
    return BytesMessage(MessageHeader(meta={"row": row}), text.getvalue().encode()).to("statistics")

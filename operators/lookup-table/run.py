"""Gives the rows of a CSV file by one of their columns, as a side input."""

import csv
from typing import Any

from interactem.runtime import data_directory, operator


@operator.side_input
def table(parameters: dict[str, Any]) -> dict[str, dict[str, str]]:
    key = parameters["key"]
    with (data_directory() / "file").open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restval="", strict=True)
        if key not in (reader.fieldnames or ()):
            raise ValueError(f"there is no column {key!r}; there are: {', '.join(reader.fieldnames or ['none'])}")
        rows = {row[key]: {name: text for name, text in row.items() if name is not None} for row in reader}
    return rows

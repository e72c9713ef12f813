"""Puts tables one behind the other into files. Their lengths stand in the state: what a crash left there is cut off."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from interactem.runtime import BytesMessage, Context, operator

LONGEST = 200


@operator
def save(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> None:
    path = context.outputs / name_of(parameters, inputs.meta)
    head, _, rows = bytes(inputs.data).partition(b"\n")
    begun = context.state.get(path.name, 0)
    written = rows if begun else head + b"\n" + rows
    append(path, begun, written)
    context.state[path.name] = begun + len(written)


def name_of(parameters: dict[str, Any], meta: dict[str, Any]) -> str:
    """Raises `ValueError` where there is no such name or value."""
    name, by = parameters.get("file", "rows.csv"), parameters.get("by")
    if not re.fullmatch(r"[\w -][\w. -]*\.csv", name):
        raise ValueError(f"{name!r} is no name of a CSV file: letters, digits, spaces, '.', '_' and '-', and .csv")
    if by is None:
        return name
    values = meta.get("row")
    if not isinstance(values, dict) or by not in values:
        raise ValueError(f"the message's meta has no {by!r} in its row")
    made = f"{name.removesuffix('.csv')}-{quote(str(values[by]), safe=' ')}.csv"
    if len(made) > LONGEST:
        raise ValueError(f"{made[:50]}... is too long for the name of a file")
    return made


def append(path: Path, begun: int, data: bytes) -> None:
    """Have `data` follow the first `begun` bytes, which are there."""
    with path.open("r+b" if begun else "wb") as file:
        file.seek(begun)
        file.write(data)
        file.truncate()

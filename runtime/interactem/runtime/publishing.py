"""What an author publishes of a replica for somebody to look at: images and tables, under names of their own.

Each is one file in `outputs/published/<operator>.<replica>/`, whole at every moment; the latest one under a name takes
the place of the one before.
"""

from __future__ import annotations

import csv
import io
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "published"
MOST_NAMES = 64
MOST_PIXELS = 2**24
MOST_ROWS = 100_000
MOST_BYTES = 2**24
"""Of a table."""
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,62}")
_COLORS = {1: 0, 3: 2, 4: 6}
"""PNG's color types, by how many values a pixel has."""


class Publishing:
    """The images and tables of one replica. Wrong names raise `ValueError`."""

    def __init__(self, outputs: Path, operator: str, replica: int) -> None:
        self._folder = outputs / FOLDER / f"{operator}.{replica}"
        self._names: set[str] = set()

    def image(self, name: str, array: Any) -> Path:
        """Raises `TypeError` and `ValueError` for what is no image, `OSError`. Where it is then."""
        return self._write(name, ".png", png(array))

    def table(self, name: str, rows: Any, columns: Sequence[str] | None) -> Path:
        return self._write(name, ".csv", table(rows, columns))

    def _write(self, name: str, suffix: str, content: bytes) -> Path:
        file = f"{name}{suffix}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name to publish under: use letters, digits, _, - and ., at most 63")
        if file not in self._names and len(self._names) >= MOST_NAMES:
            raise ValueError(f"{name!r} is one too many: an operator publishes at most {MOST_NAMES}")
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{file}"
        temporary.write_bytes(content)
        temporary.replace(self._folder / file)
        self._names.add(file)
        return self._folder / file


def png(array: Any) -> bytes:
    """An array as a PNG: (rows, columns), or (rows, columns, 3 or 4) for colors.

    Of uint8 and uint16 the values stay, bool is black and white; other numbers are scaled, from the least finite one,
    black, to the largest, white. Raises `TypeError` for what is no array of numbers, `ValueError` for another shape and
    for more than 2**24 pixels.
    """
    import numpy as np

    given = np.asarray(array)
    if given.dtype.kind not in "buif":
        raise TypeError(f"an image is an array of numbers, not of {given.dtype}")
    channels = given.shape[2] if given.ndim == 3 else 1
    if given.ndim not in (2, 3) or channels not in _COLORS or 0 in given.shape:
        raise ValueError(f"an image has the shape (rows, columns) or (rows, columns, 3 or 4), not {given.shape}")
    rows, columns = given.shape[:2]
    if rows * columns > MOST_PIXELS:
        raise ValueError(
            f"an image of {rows} x {columns}: at most {MOST_PIXELS:,} pixels are published; take every n-th"
        )
    pixels = _levels(given)
    depth = 8 * pixels.dtype.itemsize
    lines = np.zeros((rows, 1 + columns * channels * pixels.dtype.itemsize), np.uint8)  # each begins with its filter, 0
    lines[:, 1:] = np.frombuffer(pixels.astype(pixels.dtype.newbyteorder(">")).tobytes(), np.uint8).reshape(rows, -1)
    head = struct.pack(">IIBBBBB", columns, rows, depth, _COLORS[channels], 0, 0, 0)
    data = zlib.compress(lines.tobytes(), 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b"")))


def _levels(array: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    if array.dtype == np.uint8 or (array.dtype.kind == "u" and array.dtype.itemsize == 2):
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * 255
    values = array.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(array.shape, np.uint8)
    least, largest = values[finite].min(), values[finite].max()
    scale = 255.0 / (largest - least) if largest > least else 0.0
    return np.where(finite, (np.clip(values, least, largest) - least) * scale, 0).round().astype(np.uint8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def table(rows: Any, columns: Sequence[str] | None = None) -> bytes:
    """A table as CSV, with a line of names: of rows, lists or dicts, or of a dict of columns.

    `columns` names those of lists, and chooses among those of dicts. Raises `TypeError` and `ValueError`.
    """
    names, lines = _by_columns(rows) if isinstance(rows, Mapping) else _by_rows(rows, columns)
    if len(lines) > MOST_ROWS:
        raise ValueError(f"a table of {len(lines):,} rows: at most {MOST_ROWS:,} are published")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    content = text.getvalue().encode("utf-8", "backslashreplace")
    if len(content) > MOST_BYTES:
        raise ValueError(f"a table of {len(content):,} bytes: at most {MOST_BYTES:,} are published")
    return content


def _by_columns(columns: Mapping[Any, Iterable[Any]]) -> tuple[list[str], list[Sequence[Any]]]:
    values = {str(name): list(column) for name, column in columns.items()}
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of a table have one length, not {lengths}")
    return list(values), list(zip(*values.values(), strict=True))


def _by_rows(rows: Iterable[Any], columns: Sequence[str] | None) -> tuple[list[str], list[Sequence[Any]]]:
    given = list(rows)
    if given and all(isinstance(row, Mapping) for row in given):
        names = list(columns or dict.fromkeys(name for row in given for name in row))
        return [str(name) for name in names], [[row.get(name, "") for name in names] for row in given]
    if columns is None:
        raise TypeError("say how the columns of these rows are called: publish_table(name, rows, columns=[…])")
    if any(isinstance(row, str | bytes | Mapping) or len(row) != len(columns) for row in given):
        raise ValueError(f"each row has a value for each of the {len(columns)} columns")
    return [str(name) for name in columns], given

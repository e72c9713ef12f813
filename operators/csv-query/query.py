"""Answers each line of JSON with a CSV table in it with the result of its query."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import sys
from typing import Any


def main() -> None:
    csv.field_size_limit(2**30)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer: dict[str, Any] = {"data": result(asked.get("data"), asked["parameters"]["query"])}
        except (ValueError, csv.Error, sqlite3.Error) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps({"id": asked["id"], **answer}) + "\n")
        sys.stdout.flush()


def result(text: str | None, query: str) -> str:
    """The result of the query as CSV. Raises `ValueError` for what is no table, and `sqlite3.Error`."""
    if text is None:
        raise ValueError("the table is not UTF-8 text")
    header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row] or [[]]
    if not header:
        raise ValueError("the table is empty: its first line should name the columns")
    if uneven := [number for number, row in enumerate(rows, 2) if len(row) != len(header)]:
        raise ValueError(f"row {uneven[0]} has not as many fields as there are columns, {len(header)}")
    database = sqlite3.connect(":memory:")
    try:
        columns = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}" NUMERIC' for name in header)
        database.execute(f"CREATE TABLE message ({columns})")
        database.executemany(f"INSERT INTO message VALUES ({', '.join('?' * len(header))})", rows)
        cursor = database.execute(query)
        made = io.StringIO()
        if cursor.description is not None:
            writer = csv.writer(made, lineterminator="\n")
            writer.writerow(name for name, *_ in cursor.description)
            writer.writerows(cursor)
        return made.getvalue()
    finally:
        database.close()


if __name__ == "__main__":
    main()

"""Writes the rows of tables in CSV into an SQLite database: a batch of messages is one transaction.

Which messages are in the database stands in the database, so that none is in it twice, whatever dies when.
"""

import csv
import io
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from interactem.runtime import BytesMessage, Context, operator


@operator.batch(max_size=512, max_wait=0.2)
def save(inputs: Sequence[BytesMessage], parameters: dict[str, Any], context: Context) -> list[Exception | None]:
    with closing(sqlite3.connect(database(context.outputs, parameters["file"]), isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS _messages (id TEXT PRIMARY KEY)")
        results = [tried(connection, parameters["table"], message) for message in inputs]
        connection.execute("COMMIT")
    return results


def tried(connection: sqlite3.Connection, table: str, message: BytesMessage) -> Exception | None:
    """What was wrong with a message; nothing of it is in the database then."""
    connection.execute("SAVEPOINT message")
    try:
        if connection.execute("INSERT OR IGNORE INTO _messages VALUES (?)", (message.id,)).rowcount:
            insert(connection, table, rows_of(message))
    except (ValueError, sqlite3.Error) as error:
        connection.execute("ROLLBACK TO message")
        return error
    finally:
        connection.execute("RELEASE message")
    return None


def insert(connection: sqlite3.Connection, table: str, rows: list[list[str]]) -> None:
    columns, *values = rows
    names = ", ".join(quoted(column) for column in columns)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table)} ({names})")
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {quoted(table)} ({names}) VALUES ({marks})", values)


def rows_of(message: BytesMessage) -> list[list[str]]:
    """The lines of a table, the names of its columns first. Raises `ValueError` where it is none."""
    try:
        text = bytes(message.data).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the table is not UTF-8 text") from None
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    if not rows or not rows[0]:
        raise ValueError("the table has no line that names its columns")
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(rows[0]):
            raise ValueError(f"row {number} has {len(row)} fields, and there are {len(rows[0])} columns")
    return rows


def quoted(name: str) -> str:
    if not name or "\0" in name:
        raise ValueError(f"{name!r} is no name for a table or column")
    return '"' + name.replace('"', '""') + '"'


def database(outputs: Path, file: str) -> Path:
    path = (outputs / file).resolve()
    if not path.is_relative_to(outputs.resolve()) or path == outputs.resolve():
        raise ValueError(f"file must be inside the run's outputs/, not {file!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path

"""Writes JSON records into an SQLite database; what is no record goes to a fallback."""

import json
import sqlite3
from typing import Any

from interactem.runtime import BytesMessage, Failed, MessageHeader, Sink, operator

TABLE = "CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, record TEXT NOT NULL)"


@operator.sink
class Save(Sink):
    database: sqlite3.Connection | None = None

    def write(self, inputs: BytesMessage, parameters: dict[str, Any]) -> BytesMessage | Failed | None:
        try:
            record = json.loads(bytes(inputs.data))
        except ValueError as error:
            return rejected(inputs, f"not JSON: {error}")
        key = record.get(parameters["key"]) if isinstance(record, dict) else None
        if not isinstance(key, str | int):
            return rejected(inputs, f"no object with a text or a number under {parameters['key']!r}")
        try:
            with self.opened(parameters["file"]) as database:
                database.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (str(key), json.dumps(record)))
        except sqlite3.OperationalError as error:
            return Failed(f"{parameters['file']}: {error}")  # locked, or the disk is full: later, perhaps
        return None

    def opened(self, name: str) -> sqlite3.Connection:
        if self.database is None:
            path = self.context.outputs / name
            if path.parent != self.context.outputs:
                raise ValueError(f"{name!r} is not the name of a file in the run's outputs/")
            self.database = sqlite3.connect(path, check_same_thread=False)
            self.database.execute(TABLE)
        return self.database

    def cleanup(self) -> None:
        if self.database is not None:
            self.database.close()


def rejected(message: BytesMessage, why: str) -> BytesMessage:
    return BytesMessage(MessageHeader(meta={**message.meta, "rejected": why}), message.data).to("rejected")

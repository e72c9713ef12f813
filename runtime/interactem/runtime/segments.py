"""How tables are stored: what has changed, in segments that are stored once and put together now and then.

Each checkpoint refers to the segments that make up the tables, oldest first, and has the latest changes in itself
while they are few. A checkpoint so costs what has changed, not what there is. When the segments are several times as
large as what they came to when they were put together last, they are put together again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from interactem.runtime import blobs
from interactem.runtime.blobs import Reference
from interactem.runtime.errors import StateTooLargeError, WireError
from interactem.runtime.tables import Tables
from interactem.runtime.transports import Store

TAIL_BYTES = 32_768
"""Changes up to this size stand in the checkpoint itself, and are written again with each."""
LEAST_BYTES = 2**20
MOST_SEGMENTS = 64


class Segments:
    """The segments of one replica's tables. `subjects` names the pieces of one that is stored apart."""

    def __init__(self, tables: Tables, subjects: Callable[[Reference], list[str]], max_payload: int, most: int) -> None:
        self._tables = tables
        self._subjects = subjects
        self._max_payload = max_payload
        self._most = most
        self._stored: list[tuple[Reference, int]] = []
        self._tail: list[bytes] = []
        self._whole = 0  # bytes of all, when they were put together last
        self._written = 0
        self.stored_last = 0
        """Bytes that were stored apart for the last checkpoint."""

    @property
    def references(self) -> list[Reference]:
        """Where those are that make up the tables."""
        return [reference for reference, _ in self._stored]

    def store(self) -> tuple[list[Store], list[Reference]]:
        """What is to be stored before the checkpoint, and where that is which nobody needs after it.

        Raises `WireError` for a value that cannot be stored, `StateTooLargeError` where all is too much.
        """
        self.stored_last = 0
        changes = self._tables.changes()
        if changes:
            self._tail.append(changes)
        if sum(map(len, self._tail)) <= TAIL_BYTES:
            return [], []
        old: list[Reference] = []
        if self._grown():
            old = self.references
            segment = self._tables.everything()
            self._stored, self._whole = [], len(segment)
        else:
            segment = b"".join(self._tail)
        self._tail = []
        return self._store_apart(segment), old

    def _grown(self) -> bool:
        bytes_now = sum(size for _, size in self._stored)
        return len(self._stored) >= MOST_SEGMENTS or bytes_now > 2 * self._whole + LEAST_BYTES

    def _store_apart(self, segment: bytes) -> list[Store]:
        if not segment:
            return []
        if (size := len(segment) + sum(size for _, size in self._stored)) > self._most:
            raise StateTooLargeError(size, self._most)
        # never under the name of an earlier one, which is removed while this one is written
        self._written += 1
        name = f"t-{time.time_ns():x}-{self._written}"
        reference = Reference(name, len(blobs.pieces(segment, self._max_payload)))
        self._stored.append((reference, len(segment)))
        self.stored_last = len(segment)
        return blobs.stores(self._subjects(reference), segment, self._max_payload, kept=True)

    def to_value(self) -> list[Any]:
        """What a checkpoint says of them."""
        return [self._whole, [[r.blob, r.chunks, size] for r, size in self._stored], self._tail]

    def read(self, value: list[Any], read_blob: Callable[[list[str]], bytes]) -> None:
        """Take up what an earlier incarnation stored. Raises `WireError` where it cannot be understood."""
        if not value:
            return
        try:
            self._whole, stored, tail = value
            self._stored = [(self._reference(blob, chunks), int(size)) for blob, chunks, size in stored]
            self._tail = [bytes(segment) for segment in tail]
        except (ValueError, TypeError) as error:
            raise WireError(f"not a checkpoint: what it says of its segments: {error}") from error
        for reference in self.references:
            self._tables.apply(read_blob(self._subjects(reference)))
        self._tables.apply(b"".join(self._tail))

    def _reference(self, blob: str, chunks: int) -> Reference:
        reference = Reference.of({"blob": blob, "chunks": chunks})
        if reference is None:
            raise WireError("not a checkpoint: a segment has no name")
        return reference

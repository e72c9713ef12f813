"""Tables: what a replica keeps per key, of which a checkpoint stores only what has changed since the one before.

A table is a mapping whose values are never changed in place. What was in it at the last checkpoint is known until the
next one, so that a failed call can be undone. Pure values: `effects` stores what `changes` and `everything` give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

import msgpack

from interactem.runtime.errors import WireError


class Kept(Protocol):
    """Something that is made of a table, and remembers some of it by itself."""

    def settle(self) -> None:
        """Put into the table what is not there so far."""
        ...

    def forget(self) -> None:
        """The table was brought back to what it was at the last checkpoint: it is what counts."""
        ...

    def undone(self) -> None:
        """The same for what it was when it was marked, which was behind `settle`."""
        ...


Key = TypeVar("Key", int, bytes)
_ABSENT: Any = object()


class Table(Generic[Key]):
    """Values that msgpack holds, by keys that are numbers or bytes."""

    __slots__ = ("_before", "_marked", "values")

    def __init__(self) -> None:
        self.values: dict[Key, Any] = {}
        self._before: dict[Key, Any] = {}
        self._marked: dict[Key, Any] | None = None

    def put(self, key: Key, value: Any) -> None:
        self._note(key)
        self.values[key] = value

    def remove(self, key: Key) -> None:
        if key in self.values:
            self._note(key)
            del self.values[key]

    def _note(self, key: Key) -> None:
        if key not in self._before:
            self._before[key] = self.values.get(key, _ABSENT)
        if self._marked is not None and key not in self._marked:
            self._marked[key] = self.values.get(key, _ABSENT)

    def mark(self) -> None:
        """`undo` goes back to here."""
        self._marked = {}

    def undo(self) -> None:
        marked, self._marked = self._marked or {}, None
        self._restore(marked)

    def roll_back(self) -> None:
        """Back to what it was at the last checkpoint."""
        before, self._before, self._marked = self._before, {}, None
        self._restore(before)

    def _restore(self, before: dict[Key, Any]) -> None:
        for key, value in before.items():
            if value is _ABSENT:
                self.values.pop(key, None)
            else:
                self.values[key] = value

    @property
    def changed(self) -> bool:
        return bool(self._before)

    def changes(self) -> tuple[list[Key], list[Any], list[Key]]:
        """The keys that are new or have another value, these values, and the keys that are gone; they are forgotten."""
        before, self._before, self._marked = self._before, {}, None
        values = self.values
        kept = [key for key in before if key in values]
        gone = [key for key, value in before.items() if value is not _ABSENT and key not in values]
        return kept, [values[key] for key in kept], gone


class Tables:
    """A replica's tables by their names. Each is made when it is asked for first."""

    def __init__(self) -> None:
        self._tables: dict[str, Table[Any]] = {}
        self._marked = False

    def table(self, name: str) -> Table[Any]:
        found = self._tables.get(name)
        if found is None:
            found = self._tables[name] = Table()
            if self._marked:
                found.mark()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def mark(self, *, only_new: bool = False) -> None:
        """`undo` goes back to here, in those tables alone that are not there yet where `only_new` ones change."""
        self._marked = True
        for table in () if only_new else self._tables.values():
            table.mark()

    def undo(self) -> None:
        self._marked = False
        for table in self._tables.values():
            table.undo()

    def roll_back(self) -> None:
        for table in self._tables.values():
            table.roll_back()

    def changes(self) -> bytes:
        """What has changed since this was asked last, as a segment; empty where nothing has.

        Raises `WireError` where a value cannot be stored.
        """
        changed = [[name, *table.changes()] for name, table in self._tables.items() if table.changed]
        return _packed([part for part in changed if part[1] or part[3]])

    def everything(self) -> bytes:
        """All that is in the tables, as one segment."""
        return _packed([[n, list(t.values), list(t.values.values()), []] for n, t in self._tables.items() if t.values])

    def apply(self, segment: bytes) -> None:
        """Take up what was stored: one segment, or several joined. Raises `WireError` for what is none."""
        unpacker = msgpack.Unpacker(strict_map_key=False, use_list=False, max_buffer_size=len(segment) + 1)
        unpacker.feed(segment)
        try:
            for name, keys, values, gone in (part for parts in unpacker for part in parts):
                table = self.table(_text(name)).values
                table.update(zip(map(_key, keys), values, strict=True))
                for key in gone:
                    table.pop(_key(key), None)
        except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
            raise WireError(f"not a segment of a checkpoint: {error!s:.200}") from error


def _packed(parts: list[list[Any]]) -> bytes:
    if not parts:
        return b""
    try:
        packed: bytes = msgpack.packb(parts)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"what an operator keeps cannot be stored: {error}") from error
    return packed


def _text(name: object) -> str:
    if type(name) is not str:
        raise TypeError("a table's name is text")
    return name


def _key(key: object) -> object:
    if type(key) not in (int, bytes):
        raise TypeError("a table's keys are numbers or bytes")
    return key

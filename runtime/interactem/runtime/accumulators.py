"""`context.accumulator`: a value that grows, of which a checkpoint stores only what was added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from interactem.runtime.checkpoint import pack_value, unpack_value
from interactem.runtime.errors import KeptValueError, WireError
from interactem.runtime.tables import Table

T = TypeVar("T")
Item = TypeVar("Item")
FOLD_BYTES = 65_536
"""Items of less than this altogether are kept as they are; more, once they are as large as the value was."""


class Accumulator(Generic[T, Item]):
    """A value and a way to add to it; `context.accumulator` makes it and says what it promises."""

    def __init__(self, table: Table[int], name: str, start: T, add: Callable[[T, Item], T]) -> None:
        self.name = name
        self._table = table
        self._start = self._pack(start)
        self._add = add
        self._value: T
        self._known = False
        self._next = 1  # under 0 is the value as it was folded last, behind it the items that came since
        self._item_bytes = self._folded_bytes = 0

    @property
    def value(self) -> T:
        """What it has come to. Do not change it but by `add`."""
        if not self._known:
            self._find()
        return self._value

    def add(self, item: Item) -> None:
        """Raises `KeptValueError` for what cannot be kept; the value is then as it was, unless `add` has changed it."""
        before = self.value
        packed = self._pack(item)
        self._value = self._add(before, item)
        self._table.put(self._next, packed)
        self._next += 1
        self._item_bytes += len(packed)

    def _find(self) -> None:
        values = self._table.values
        folded: bytes = values.get(0, self._start)
        items = sorted(number for number in values if number)
        value: T = unpack_value(folded)
        for number in items:
            value = self._add(value, unpack_value(values[number]))
        self._value, self._known = value, True
        self._next = items[-1] + 1 if items else 1
        self._folded_bytes, self._item_bytes = len(folded), sum(len(values[number]) for number in items)

    def settle(self) -> None:
        """Put the items together with the value where there are many, so that they do not take room for ever."""
        if not self._known or self._item_bytes <= max(FOLD_BYTES, self._folded_bytes):
            return
        packed = self._pack(self._value)
        for number in [number for number in self._table.values if number]:
            self._table.remove(number)
        self._table.put(0, packed)
        self._next, self._folded_bytes, self._item_bytes = 1, len(packed), 0

    def forget(self) -> None:
        """The table holds what counts."""
        self._known = False

    undone = forget

    def _pack(self, value: Any) -> bytes:
        try:
            return pack_value(value)
        except WireError as error:
            raise KeptValueError(f"context.accumulator({self.name!r})", str(error)) from error

"""`context.keyed`: a mapping of which a checkpoint stores only what has changed."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import Any, TypeVar, get_type_hints

import msgpack

from interactem.runtime.checkpoint import pack_value, unpack_value
from interactem.runtime.errors import KeptValueError, KernelError, WireError
from interactem.runtime.tables import Table

T = TypeVar("T")
_UNCHANGEABLE = (str, bytes, int, float, bool, type(None))
_DEEPEST = 32


class Keyed(MutableMapping[Hashable, T]):
    """A mapping that is stored per key; `context.keyed` makes it and says what it holds."""

    def __init__(self, table: Table[bytes], name: str, type: type[T] | None = None) -> None:
        self.name = name
        self.type = type
        self._table = table
        self._looked_up: dict[bytes, T] = {}  # what a call may have changed since the last checkpoint
        self._dump, self._load = _conversions(type)

    def __getitem__(self, key: Hashable) -> T:
        packed = self._pack_key(key)
        if packed in self._looked_up:
            return self._looked_up[packed]
        if packed not in self._table.values:
            raise KeyError(key)
        value: T = self._load(unpack_value(self._table.values[packed]))
        if not isinstance(value, _UNCHANGEABLE):
            self._looked_up[packed] = value
        return value

    def __setitem__(self, key: Hashable, value: T) -> None:
        packed = self._pack_key(key)
        self._table.put(packed, self._pack(value))
        if isinstance(value, _UNCHANGEABLE):
            self._looked_up.pop(packed, None)
        else:
            self._looked_up[packed] = value

    def __delitem__(self, key: Hashable) -> None:
        packed = self._pack_key(key)
        if packed not in self._table.values:
            raise KeyError(key)
        self._looked_up.pop(packed, None)
        self._table.remove(packed)

    def __iter__(self) -> Iterator[Hashable]:
        return (msgpack.unpackb(packed, use_list=False) for packed in list(self._table.values))

    def __len__(self) -> int:
        return len(self._table.values)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, Hashable) and self._pack_key(key) in self._table.values

    def settle(self) -> None:
        """What calls have changed of what they looked up is put into the table."""
        looked_up, self._looked_up = self._looked_up, {}
        for packed, value in looked_up.items():
            now = self._pack(value)
            if now != self._table.values.get(packed):
                self._table.put(packed, now)

    def forget(self) -> None:
        """The table holds what counts."""
        self._looked_up.clear()

    undone = forget

    def _pack_key(self, key: Hashable) -> bytes:
        if not _is_key(key, _DEEPEST):
            kind = type(key).__name__
            raise KeptValueError(
                f"context.keyed({self.name!r})",
                f"{key!r:.80} (a {kind}) cannot be a key: use text, numbers, bytes, booleans, None or tuples of them",
            )
        try:
            packed: bytes = msgpack.packb(key)
        except (OverflowError, ValueError, TypeError) as error:
            raise KeptValueError(f"context.keyed({self.name!r})", f"{key!r:.80} cannot be a key: {error}") from None
        return packed

    def _pack(self, value: T) -> bytes:
        try:
            return pack_value(self._dump(value))
        except (WireError, ValueError, TypeError, AttributeError) as error:
            raise KeptValueError(f"context.keyed({self.name!r})", f"{value!r:.80} cannot be kept: {error}") from error


def _is_key(key: object, depth: int) -> bool:
    if type(key) is tuple:
        return depth > 0 and all(_is_key(part, depth - 1) for part in key)
    return type(key) in _UNCHANGEABLE


def _conversions(type: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How a value becomes what is stored, and back. What they raise says why a value does not fit."""
    if type is None:
        return (lambda value: value), (lambda stored: stored)
    if callable(getattr(type, "model_validate", None)):  # pydantic's, which is not imported for it
        return (lambda value: _checked(value, type).model_dump()), type.model_validate
    if dataclasses.is_dataclass(type) and isinstance(type, builtins.type):
        return _dataclass_conversions(type)
    if isinstance(type, builtins.type):
        return (lambda value: _checked(value, type)), (lambda stored: stored)
    raise KernelError(f"context.keyed: a type is a class, such as a pydantic model or a dataclass, not {type!r}")


def _dataclass_conversions(made: type[Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    hints = get_type_hints(made)
    parts = {field.name: _part_conversions(hints.get(field.name)) for field in dataclasses.fields(made) if field.init}

    def dump(value: Any) -> Any:
        _checked(value, made)
        return {name: convert(getattr(value, name)) for name, (convert, _) in parts.items()}

    def load(stored: Any) -> Any:
        return made(**{name: parts[name][1](part) for name, part in stored.items() if name in parts})

    return dump, load


def _part_conversions(hint: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    nested = dataclasses.is_dataclass(hint) or callable(getattr(hint, "model_validate", None))
    return _conversions(hint if nested else None)


def _checked(value: Any, type: type[Any]) -> Any:
    if not isinstance(value, (int, float) if type is float else type) or (type is int and isinstance(value, bool)):
        raise TypeError(f"it is a {builtins.type(value).__name__}, and should be a {type.__name__}")
    return value

"""What messages are grouped by: keys that differ never merge, whatever Python takes for equal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any

from interactem.runtime.errors import InteractemRuntimeError, KernelError, UnhashableKeyError
from interactem.runtime.messages import BytesMessage

Extract = Callable[[BytesMessage], Any]


class MissingKeyError(InteractemRuntimeError, LookupError):
    """A message's meta does not hold what it is to be grouped by."""


def tagged(key: Any) -> Hashable:
    """Something that equals that of another key only where both are the same: `1`, `1.0`, `True` and `"1"` are four.

    Keys of one type are the same where Python takes them for equal; so are all NaNs. Of tuples, frozen sets and
    dataclasses, the parts are compared like that too. Raises `UnhashableKeyError`.
    """
    if type(key) is str:
        return key  # all others become tuples
    try:
        return _tagged(key)
    except TypeError:
        raise UnhashableKeyError(key) from None


def _tagged(key: Any) -> Hashable:
    kind = type(key)
    if kind is float and key != key:
        return (kind, "nan")
    if isinstance(key, tuple):
        return (kind, tuple(map(_tagged, key)))
    if isinstance(key, frozenset):
        return (kind, frozenset(map(_tagged, key)))
    hash(key)
    if dataclasses.is_dataclass(key):
        return (kind, tuple(_tagged(getattr(key, field.name)) for field in dataclasses.fields(key) if _counts(field)))
    return (kind, key)


def _counts(field: dataclasses.Field[Any]) -> bool:
    return field.compare


def extractor(key: str | Extract | None) -> Extract:
    """What gives a message's key. Raises `KernelError` for what says nothing of it."""
    if key is None:
        return lambda message: None
    if isinstance(key, str):
        return by_path(key, "key")
    if callable(key):
        return key
    raise KernelError(f'reduce: key is a path such as "meta.scan", a function of a message, or None; not {key!r}')


def by_path(path: str, what: str) -> Extract:
    """What lies at a path in a message's meta. Raises `KernelError` for another path; calling it, `MissingKeyError`."""
    root, *names = path.split(".")
    if root != "meta" or not names or not all(names):
        raise KernelError(f'reduce: {what} is a path such as "meta.scan", not {path!r}')

    def find(message: BytesMessage) -> Any:
        value: Any = message.header.meta
        for name in names:
            try:
                value = value[name]
            except (KeyError, TypeError, IndexError):
                raise MissingKeyError(f"there is no {path} in the message's meta, which is its {what}") from None
        return value

    return find

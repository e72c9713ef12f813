"""Which edges of an output take a message, and to which partition of each it goes.

An edge may take some messages alone (`when`, by their tags), and divide them among its partitions by their ids or by a
key in their meta. All of this is decided once, by the sender, and written into the subject that a batch is stored
under: its **lane**, a few numbers between dots. A reader's consumer has a filter, so that nothing comes to it that is
not its own. The lane `4.1.0` of an output whose edges divide by ids in six ways, have one key in two ways and one
`when` says: 4 of 6 by id, 1 of 2 by key, and `when` does not hold. A lane has a number for all but its first part, the
message's **code**; together with the output's index that is the message's **address**.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from interactem.runtime.errors import EdgeKeyError

if TYPE_CHECKING:
    from interactem.runtime.assignment import Output
    from interactem.runtime.messages import BytesMessage

REMEMBERED = 65_536
"""So many values of a key, and combinations of tags, are known again without being looked at anew."""

Rules = tuple[tuple[str, tuple[str, ...]], ...]
"""What tags must be: `any`, `all` or `none`, and of which tags. All of it holds."""


@dataclass(frozen=True, slots=True)
class Route:
    """What an edge says of the messages that it takes. Without a key they are divided by their ids."""

    edge: int
    name: str
    """The edge as people know it: `rows.out -> sum.in`."""
    when: Rules = ()
    key: tuple[str, ...] = ()
    """The way to the key in a message's meta."""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Route:
        when = tuple((rule, tuple(tags)) for rule, tags in value.get("when", ()))
        return cls(value["edge"], value["name"], when, tuple(value.get("key", ())))


def holds(rules: Rules, tags: Sequence[str]) -> bool:
    """Whether a message with these tags is meant."""
    has = set(tags)
    for rule, wanted in rules:
        if has.issuperset(wanted) if rule == "all" else has.isdisjoint(wanted) == (rule == "none"):
            continue
        return False
    return True


def canonical(value: Any) -> bytes:
    """A key as bytes that are equal exactly for equal keys. Raises `TypeError` for what is no key.

    Keys are text, bytes, numbers, booleans and null. They are equal where Python says so: 1, 1.0 and true are; and so
    are all NaNs.
    """
    if value is None:
        return b"0"
    if isinstance(value, str):
        return b"t" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes | bytearray | memoryview):
        return b"b" + bytes(value)
    if isinstance(value, int):
        return b"n%d" % value
    if isinstance(value, float):
        return b"n%d" % int(value) if value.is_integer() else b"f" + repr(float(value)).encode()
    plain = getattr(value, "tolist", None)  # numpy's numbers travel as plain ones
    if plain is not None and not isinstance(made := plain(), list):
        return canonical(made)
    raise TypeError(f"a {type(value).__name__}")


def key_of(message: BytesMessage, path: tuple[str, ...]) -> bytes:
    """The key of a message that has come on an edge with this one, as `canonical` has it; without a path, all one."""
    value: Any = _meta(message) if path else None
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    try:
        return canonical(value)
    except TypeError:  # which its sender refuses
        return b""


def hash_of(key: bytes) -> int:
    """The same in every process and version."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


class Readership(NamedTuple):
    """An edge that takes a message, and the partition of it that the message goes to."""

    edge: int
    partition: int


class _Key:
    """One key that edges have, in so many ways."""

    def __init__(self, path: tuple[str, ...], names: str, ways: int) -> None:
        self.ways = ways
        self.path = path
        self._names = names
        self._known: dict[Any, int] = {}

    def digit(self, message: BytesMessage) -> int:
        """Raises `EdgeKeyError`."""
        value = _meta(message)
        for name in self.path:
            if not isinstance(value, dict) or name not in value:
                raise EdgeKeyError(self._names, self.path, _missing(value, name))
            value = value[name]
        try:
            return self._known[value]
        except (KeyError, TypeError, ValueError):
            return self._look(value)

    def _look(self, value: Any) -> int:
        try:
            digit = hash_of(canonical(value)) % self.ways
        except TypeError as error:
            raise EdgeKeyError(self._names, self.path, f"{error} is no key") from None
        if getattr(value, "__hash__", None) is not None and not isinstance(value, memoryview):
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[value] = digit
        return digit


def _meta(message: BytesMessage) -> Any:
    """As it is, without unpacking for others what is only passed on."""
    header = message._header
    if type(header) is tuple:
        return msgpack.unpackb(header[0], strict_map_key=False)
    return header.meta  # type: ignore[union-attr]


def _missing(value: Any, name: str) -> str:
    if not isinstance(value, dict):
        return f"a {type(value).__name__} stands where {name!r} should be looked for"
    known = ", ".join(sorted(map(str, value))[:12]) or "nothing"
    return f"there is no {name!r}, but {known}"


class Routing:
    """Of one output: its lanes.

    The parts of a lane are: by id, by each key that its edges have, and whether each `when` holds.
    """

    def __init__(self, output: Output) -> None:
        routes = {route.edge: route for route in output.routes}
        parts = output.edge_partitions or (output.partitions,) * len(output.edges)
        self._edges = [
            (routes.get(edge, Route(edge, "")), count) for edge, count in zip(output.edges, parts, strict=True)
        ]
        self.by_id = output.partitions
        self.ordered = frozenset(output.ordered)
        keys: dict[tuple[str, ...], list[tuple[Route, int]]] = {}
        for route, count in self._edges:
            if route.key:
                keys.setdefault(route.key, []).append((route, count))
        self._keys = [
            _Key(path, ", ".join(route.name for route, _ in same), math.lcm(*(count for _, count in same)))
            for path, same in keys.items()
        ]
        self._place = {path: place for place, path in enumerate(keys)}
        self._whens = list(dict.fromkeys(route.when for route, _ in self._edges if route.when))
        self._known: dict[tuple[str, ...], tuple[int, tuple[_Key, ...]] | None] = {}
        self._readers: dict[tuple[int, int], tuple[Readership, ...]] = {}
        self._in_order: dict[tuple[int, int], tuple[Readership, ...]] = {}
        # all that there is to say of a message then
        self._only = self._keys[0] if len(self._keys) == 1 and not self._whens else None
        self.plain = not output.routes
        """Whether every edge takes every message, and none has a key."""

    # a message's code

    def code(self, message: BytesMessage) -> int:
        """What of a lane depends on a message's tags and meta; -1 where no edge takes it. Raises `EdgeKeyError`."""
        if self._only is not None:
            return self._only.digit(message)
        tags = message.tags
        try:
            known = self._known[tags]
        except (KeyError, TypeError):
            known = self._look(tuple(tags))
        if known is None:
            return -1
        code, keys = known
        if not keys:
            return code
        for key in reversed(self._keys):
            code = code * key.ways + (key.digit(message) if key in keys else 0)
        return code

    def _look(self, tags: tuple[str, ...]) -> tuple[int, tuple[_Key, ...]] | None:
        """The code of messages with these tags, but for keys; and the keys that it takes. None where nobody does."""
        held = [holds(when, tags) for when in self._whens]
        taking = [route for route, _ in self._edges if not route.when or held[self._whens.index(route.when)]]
        found = None
        if taking:
            code = sum(1 << place for place, holding in enumerate(held) if holding)
            found = code, tuple(self._keys[self._place[route.key]] for route in taking if route.key)
            if not found[1]:
                found = code * math.prod(key.ways for key in self._keys), ()
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[tags] = found
        return found

    # what a lane says

    def _digits(self, code: int) -> list[int]:
        digits = []
        for key in self._keys:
            code, digit = divmod(code, key.ways)
            digits.append(digit)
        return digits + [code >> place & 1 for place in range(len(self._whens))]

    def lane(self, part: int, code: int) -> str:
        """The lane of messages that are `part` by id and have this code."""
        return ".".join(map(str, (part, *self._digits(code))))

    def readers(self, part: int, code: int) -> tuple[Readership, ...]:
        """Who reads a lane."""
        found = self._readers.get((part, code))
        if found is None:
            if len(self._readers) >= REMEMBERED:
                self._readers.clear()
            found = self._readers[part, code] = tuple(self._reading(part, self._digits(code)))
        return found

    def in_order(self, part: int, code: int) -> tuple[Readership, ...]:
        """Who reads a lane on an edge that keeps its order."""
        found = self._in_order.get((part, code))
        if found is None:
            if len(self._in_order) >= REMEMBERED:
                self._in_order.clear()
            found = tuple(one for one in self.readers(part, code) if one.edge in self.ordered)
            self._in_order[part, code] = found
        return found

    def _reading(self, part: int, digits: list[int]) -> list[Readership]:
        found = []
        for route, count in self._edges:
            if not route.when or digits[len(self._keys) + self._whens.index(route.when)]:
                digit = digits[self._place[route.key]] if route.key else part
                found.append(Readership(route.edge, digit % count))
        return found

    def filters(self, edge: int, part: int, count: int) -> list[str]:
        """What a consumer of a partition, of so many, of an edge reads: lanes with a `*` where anything may stand."""
        [route] = [route for route, _ in self._edges if route.edge == edge]
        by_id = [str(n) for n in range(self.by_id) if n % count == part] if not route.key else ["*"]
        lanes = by_id if self.by_id > 1 else ["0"]
        for key in self._keys:
            digits = [str(n) for n in range(key.ways) if n % count == part] if key.path == route.key else ["*"]
            lanes = [f"{lane}.{digit}" for lane in lanes for digit in digits]
        for when in self._whens:
            lanes = [f"{lane}.{'1' if when == route.when else '*'}" for lane in lanes]
        return lanes


def matches(filter: str, lane: str) -> bool:
    """Whether a consumer with this filter reads the lane."""
    wanted, digits = filter.split("."), lane.split(".")
    return len(wanted) == len(digits) and all(map(lambda one, digit: one in ("*", digit), wanted, digits))

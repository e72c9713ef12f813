"""The crash slot: a small mapped file from which the supervisor learns what a dead replica was doing.

It survives the process in any death. The first part names the message that the kernel was given; the second lists
the reply subjects of the deliveries that the replica held, for the supervisor to hand back at once.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_CALL = struct.Struct("<HHI")  # length of the id, attempt, edge
_ID_AT = 16
_HELD_AT = 1024
_ENTRY = 192
_ENTRIES = 320
SIZE = _HELD_AT + _ENTRY * _ENTRIES


@dataclass(frozen=True, slots=True)
class Call:
    """The message that a kernel was given and had not given back."""

    edge: int
    message_id: str
    attempt: int


class Slot:
    """One replica's slot. Without a path it is memory of this process alone."""

    __slots__ = ("_free", "_map", "_places")

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            self._map = mmap.mmap(-1, SIZE)
        else:
            with path.open("a+b") as file:
                file.truncate(SIZE)
                self._map = mmap.mmap(file.fileno(), SIZE)
            self._map[:] = bytes(SIZE)
        self._free = list(range(_ENTRIES))
        self._places: dict[str, int] = {}

    def enter(self, edge: int, message_id: str, attempt: int) -> None:
        """The kernel is about to be given this message."""
        encoded = message_id.encode()[: _HELD_AT - _ID_AT]
        view = self._map
        view[0:2] = b"\0\0"
        view[_ID_AT : _ID_AT + len(encoded)] = encoded
        _CALL.pack_into(view, 0, len(encoded), min(attempt, 65_535), edge)

    def leave(self) -> None:
        """The kernel has given the message back."""
        self._map[0:2] = b"\0\0"

    def hold(self, reply: str) -> None:
        """A delivery with this reply subject is held from now on. Beyond the slot's room it is redelivered later."""
        encoded = reply.encode()
        if not self._free or len(encoded) >= _ENTRY:
            return
        place = self._free.pop()
        self._places[reply] = place
        at = _HELD_AT + place * _ENTRY
        self._map[at + 1 : at + 1 + len(encoded)] = encoded
        self._map[at] = len(encoded)

    def release(self, reply: str) -> None:
        place = self._places.pop(reply, None)
        if place is not None:
            self._map[_HELD_AT + place * _ENTRY] = 0
            self._free.append(place)

    def close(self) -> None:
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read(path: Path) -> tuple[Call | None, list[str]]:
    """What the slot at `path` says of a replica that is dead: the call that it was in, and what it held."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None, []
    if len(content) < SIZE:
        return None, []
    length, attempt, edge = _CALL.unpack_from(content)
    call = Call(edge, content[_ID_AT : _ID_AT + length].decode(errors="replace"), attempt) if length else None
    held = []
    for place in range(_ENTRIES):
        at = _HELD_AT + place * _ENTRY
        if content[at]:
            held.append(content[at + 1 : at + 1 + content[at]].decode())
    return call, held

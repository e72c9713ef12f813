"""The crash slot: a small mapped file from which the supervisor learns what a dead replica was doing.

It survives the process in any death. Its first part names the messages of the batch that the kernel works on, and
which of them it was given, or all those that are in flight at once; its second lists the reply subjects of the
deliveries that the replica held, for the supervisor to hand back at once.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgpack

from interactem.runtime.ids import Run, series_of, text

_HEAD = struct.Struct("<IIII")  # number of the message in the batch, from 1; edge; attempt; bytes of the runs of ids
_HELD = struct.Struct("<QB")  # a number that rises from one delivery to the next; length of the subject
_BEATS = struct.Struct("<Q")
_BEATS_AT = _HEAD.size
_ASKED_AT = _BEATS_AT + _BEATS.size
_IDS_AT = 64
_IDS_ROOM = 2**18
_SEVERAL = 2**32 - 2
"""From here on, the number of the message says in which half of the room for ids those stand that are in flight."""
_HALF = _IDS_ROOM // 2
_LENGTH = struct.Struct("<I")
_HELD_AT = _IDS_AT + _IDS_ROOM
_ENTRY = 192
_ENTRIES = 320
SIZE = _HELD_AT + _ENTRY * _ENTRIES
MOST_CALLS = 65_536
"""So many messages in flight are read at most."""


@dataclass(frozen=True, slots=True)
class Call:
    """A message that a kernel was given and had not given back."""

    edge: int
    message_id: str
    attempt: int


class Slot:
    """One replica's slot. Without a path it is memory of this process alone.

    `current[0]` is the number, from 1, of the message that the kernel is given next, among those that `begin` named;
    0 is none. Setting it is all that a call costs.
    """

    __slots__ = ("_count", "_free", "_kept", "_map", "_places", "_view", "current")

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            self._map = mmap.mmap(-1, SIZE)
        else:
            with path.open("a+b") as file:
                file.truncate(0)
                file.truncate(SIZE)
                self._map = mmap.mmap(file.fileno(), SIZE)
        self._view = memoryview(self._map)
        self.current = self._view[:4].cast("I")
        self._free = list(range(_ENTRIES))
        self._places: dict[str, int] = {}
        self._count = 0
        self._kept = b""

    def begin(self, edge: int, runs: Sequence[Run], attempt: int) -> None:
        """The kernel is about to be given these messages, one after the other."""
        self.current[0] = 0
        ids = _packed(runs)
        self._map[_IDS_AT : _IDS_AT + len(ids)] = ids
        _HEAD.pack_into(self._map, 0, 0, edge, min(attempt, 2**32 - 1), len(ids))

    def fly(self, calls: Sequence[tuple[int, int, Sequence[Run]]]) -> None:
        """The messages in all calls that go on: edge, attempt and ids of each. Whoever dies now leaves these or those
        that were named before, and no mixture.
        """
        if not calls:
            self.current[0] = 0
            return
        half = 1 - (self.current[0] - _SEVERAL) if self.current[0] >= _SEVERAL else 0
        packed = _packed_calls(calls)
        at = _IDS_AT + half * _HALF
        _LENGTH.pack_into(self._map, at, len(packed))
        self._map[at + _LENGTH.size : at + _LENGTH.size + len(packed)] = packed
        self.current[0] = _SEVERAL + half

    def leave(self) -> None:
        """The kernel has given the message back."""
        self.current[0] = 0

    def keep(self) -> None:
        """The process is asked to end, maybe by the kernel itself: what it has been given now is to be known then."""
        if self.current[0] and not self._kept:
            self._kept = bytes(self._map[:_HELD_AT])

    def tell_kept(self) -> None:
        """The process ends."""
        if self._kept:
            self._map[: len(self._kept)] = self._kept
            self._map[_ASKED_AT] = 1

    def beat(self) -> None:
        """The transport's thread still gets its turns."""
        _BEATS.pack_into(self._map, _BEATS_AT, beats_in(self._map) + 1)

    def hold(self, reply: str) -> None:
        """A delivery with this reply subject is held from now on. Beyond the slot's room it is redelivered later."""
        encoded = reply.encode()
        if not self._free or len(encoded) > _ENTRY - _HELD.size:
            return
        place = self._free.pop()
        self._places[reply] = place
        self._count += 1
        at = _HELD_AT + place * _ENTRY
        self._map[at + _HELD.size : at + _HELD.size + len(encoded)] = encoded
        _HELD.pack_into(self._map, at, self._count, len(encoded))

    def release(self, reply: str) -> None:
        place = self._places.pop(reply, None)
        if place is not None:
            _HELD.pack_into(self._map, _HELD_AT + place * _ENTRY, 0, 0)
            self._free.append(place)

    def close(self) -> None:
        self.current.release()
        self._view.release()
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def beats_in(content: bytes | mmap.mmap) -> int:
    (count,) = _BEATS.unpack_from(content, _BEATS_AT)
    return int(count)


def beats(path: Path) -> int:
    """How often a replica has counted up; 0 where it has not begun to."""
    content = _content(path, _IDS_AT)
    return beats_in(content) if content else 0


def was_asked(path: Path) -> bool:
    """Whether a replica that has ended was asked to in the call that its slot names, and did as it should."""
    content = _content(path, _IDS_AT)
    return bool(content) and content[_ASKED_AT] == 1


def read(path: Path) -> tuple[list[Call], list[str]]:
    """What the slot at `path` says of a replica: what it is given, or was when it died; and what it holds, in order."""
    content = _content(path, SIZE)
    if not content:
        return [], []
    held = sorted(_held(content[at : at + _ENTRY]) for at in range(_HELD_AT, SIZE, _ENTRY))
    return _calls(content), [reply for number, reply in held if number]


def _content(path: Path, size: int) -> bytes:
    """The first bytes of a slot; none where something else is there, which the replica's own code could have put."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        content = os.read(file, size) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    except OSError:
        content = b""
    finally:
        os.close(file)
    return content if len(content) == size else b""


def _held(entry: bytes) -> tuple[int, str]:
    number, length = _HELD.unpack_from(entry)
    return number, entry[_HELD.size : _HELD.size + length].decode(errors="replace")


def _calls(content: bytes) -> list[Call]:
    number, edge, attempt, length = _HEAD.unpack_from(content)
    try:
        if number >= _SEVERAL:
            return _several(content, _IDS_AT + (number - _SEVERAL) * _HALF)
        for prefix, suffix, first, count in msgpack.unpackb(content[_IDS_AT : _IDS_AT + length]) if number else ():
            if number <= count:
                return [Call(edge, text(series_of(prefix, suffix), first + number - 1), attempt)]
            number -= count
    except (ValueError, TypeError, AttributeError, msgpack.exceptions.UnpackException):
        return []  # the replica's own code could write to its slot too
    return []


def _several(content: bytes, at: int) -> list[Call]:
    (length,) = _LENGTH.unpack_from(content, at)
    begin = at + _LENGTH.size
    return [
        Call(edge, text(series, place), attempt)
        for edge, attempt, runs in msgpack.unpackb(content[begin : begin + min(length, _HALF)])
        if type(edge) is type(attempt) is int
        for prefix, suffix, first, count in runs
        for series, place in Run(series_of(prefix, suffix), first, min(count, MOST_CALLS)).ids()
    ][:MOST_CALLS]


def _packed_calls(calls: Sequence[tuple[int, int, Sequence[Run]]]) -> bytes:
    """The calls, as many of the first as there is room for."""
    packed: bytes = msgpack.packb([(edge, min(attempt, 2**32 - 1), _values(runs)) for edge, attempt, runs in calls])
    return packed if len(packed) <= _HALF - _LENGTH.size else _packed_calls(calls[: len(calls) // 2])


def _packed(runs: Sequence[Run]) -> bytes:
    """The runs, as many of the first as there is room for."""
    packed: bytes = msgpack.packb(_values(runs))
    return packed if len(packed) <= _IDS_ROOM else _packed(runs[: len(runs) // 2])


def _values(runs: Sequence[Run]) -> list[tuple[str, str, int, int]]:
    return [(run.series.prefix, run.series.suffix, run.first, run.length) for run in runs]

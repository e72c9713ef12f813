"""An arena's index: a small mapped file in which the producer says what each block is, and readers look.

A block has a generation that counts up when it is taken and again when it is freed: odd is held. Whoever has looked at
a block's bytes and finds the generation as it was has seen what was meant for it, and nothing else. Numbers are
unsigned 64-bit words of the machine's own order.

| words | |
|---|---|
| 0 | a magic number |
| 1, 2 | the arena's identity, made at random when it is |
| 3 | bytes of the data file |
| 4 | number of blocks |
| 5 | the number of the producer's incarnation |
| 8 to 71 | when the incarnations began, by their number modulo 64: monotonic nanoseconds |
| 512 + 4 *n* | block *n*: generation, offset, bytes, incarnation that took it last |
"""

from __future__ import annotations

import mmap
import os
import secrets
from pathlib import Path

MAGIC = int.from_bytes(b"iARENA\x00\x01", "big")
BLOCKS = 8192
_IDENTITY, _CAPACITY, _BLOCKS, _INCARNATION = 1, 3, 4, 5
_BEGUN, _BEGINNINGS = 8, 64
_HEAD, _WORDS = 512, 4
_BYTES = 8 * (_HEAD + _WORDS * BLOCKS)

DATA = "data"
INDEX = "index"


def plainly(path: str, flags: int) -> int:
    """Opens another operator's file, and nothing that it could have put there: no link, no pipe to wait for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


class Index:
    """The index of an arena. `words` is the file."""

    __slots__ = ("_map", "words")

    def __init__(self, mapped: mmap.mmap) -> None:
        self._map = mapped
        self.words = memoryview(mapped).cast("Q")

    @classmethod
    def make(cls, folder: Path, capacity: int) -> Index:
        """A new one, in its place only when it is whole. Raises `OSError`."""
        partly = folder / f"{INDEX}.new"
        with partly.open("w+b") as file:
            os.posix_fallocate(file.fileno(), 0, _BYTES)
            index = cls(mmap.mmap(file.fileno(), _BYTES))
        words = index.words
        words[_IDENTITY], words[_IDENTITY + 1] = secrets.randbits(64), secrets.randbits(64)
        words[_CAPACITY], words[_BLOCKS] = capacity, BLOCKS
        words[0] = MAGIC
        partly.rename(folder / INDEX)
        return index

    @classmethod
    def open(cls, folder: Path, *, writable: bool = False) -> Index:
        """The one that is there. Raises `OSError`, and `ValueError` for a file that is no index."""
        with open(folder / INDEX, "r+b" if writable else "rb", opener=plainly) as file:
            if os.fstat(file.fileno()).st_size != _BYTES:
                raise ValueError(f"{folder / INDEX} is no index of an arena")
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            index = cls(mmap.mmap(file.fileno(), _BYTES, access=access))
        if index.words[0] != MAGIC or index.words[_BLOCKS] != BLOCKS:
            raise ValueError(f"{folder / INDEX} is no index of an arena that this version knows")
        return index

    @property
    def identity(self) -> bytes:
        return bytes(self.words[_IDENTITY : _IDENTITY + 2])

    @property
    def capacity(self) -> int:
        return int(self.words[_CAPACITY])

    def generation(self, block: int) -> int:
        return int(self.words[_HEAD + _WORDS * block])

    def extent(self, block: int) -> tuple[int, int]:
        """Where a block is, and how large."""
        at = _HEAD + _WORDS * block
        return int(self.words[at + 1]), int(self.words[at + 2])

    def incarnation_of(self, block: int) -> int:
        return int(self.words[_HEAD + _WORDS * block + 3])

    def take(self, block: int, offset: int, size: int) -> int:
        """The generation of a block that is held from now on."""
        words, at = self.words, _HEAD + _WORDS * block
        words[at + 1], words[at + 2], words[at + 3] = offset, size, words[_INCARNATION]
        generation = int(words[at]) + 1
        words[at] = generation  # last: a block is held only when all is known of it
        return generation

    def free(self, block: int) -> None:
        self.words[_HEAD + _WORDS * block] += 1

    def held(self) -> list[int]:
        """The blocks that are held."""
        return [block for block in range(BLOCKS) if self.generation(block) % 2]

    def begin(self, now: int) -> None:
        """Another incarnation of the producer begins."""
        self.words[_INCARNATION] += 1
        self.words[_BEGUN + self.words[_INCARNATION] % _BEGINNINGS] = now

    def ended(self, block: int) -> int:
        """When the incarnation that took a block had certainly ended: when the next one began."""
        later = max(self.incarnation_of(block) + 1, int(self.words[_INCARNATION]) - _BEGINNINGS + 1)
        return int(self.words[_BEGUN + later % _BEGINNINGS])

    def close(self) -> None:
        self.words.release()
        self._map.close()

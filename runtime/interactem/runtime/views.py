"""The reader's side of arenas: messages of other replicas, seen where they lie.

A mapping is made once for each producer. Of what a kernel is given, a `Lease` knows whether it is still what it was
(the block's generation), and whether anybody can still look at it: a kernel may keep an array beyond its call. Then the
block is held for it, up to a bound; beyond that, kernels are given copies, and told so.
"""

from __future__ import annotations

import logging
import mmap
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactem.runtime.arena_index import BLOCKS, DATA, Index, plainly
from interactem.runtime.errors import ArenaLostError, OvertakenError, WireError
from interactem.runtime.references import BlockReference, References

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Lease:
    """A block that somebody here looks at, or may. `alive` is False once nobody can."""

    __slots__ = ("_arrays", "_index", "generation", "number", "replica", "size")

    def __init__(self, index: Index, replica: int, block: BlockReference, array: weakref.ref[Any] | None) -> None:
        self._index = index
        self._arrays: tuple[weakref.ref[Any], ...] = () if array is None else (array,)
        self.replica = replica
        self.number = block.block
        self.generation = block.generation
        self.size = block.length

    @property
    def valid(self) -> bool:
        """Whether its bytes are still what they were."""
        return self._index.generation(self.number) == self.generation

    @property
    def alive(self) -> bool:
        return any(array() is not None for array in self._arrays)

    def take_over(self, earlier: Lease) -> None:
        """This one is in the place of an earlier one, whose delivery is looked at again."""
        self._arrays += earlier._arrays


class _Mapped:
    """A producer's arena, mapped here."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self.index = Index.open(folder)
        self.capacity = self.index.capacity
        with open(folder / DATA, "rb", opener=plainly) as file:
            self._map = mmap.mmap(file.fileno(), self.capacity, access=mmap.ACCESS_READ)
        self._frombuffer = np.frombuffer
        self._type = np.uint8

    def array(self, block: BlockReference) -> NDArray[Any]:
        """A new array for each: whatever is derived from it keeps this very one alive."""
        return self._frombuffer(self._map, self._type, block.length, block.offset)


class Views:
    """What one replica sees of the arenas under `root`. `most_kept` bytes may be kept by the kernel at a time."""

    def __init__(self, root: Path | None, most_kept: int, logger: logging.Logger) -> None:
        self._root = root
        self._most_kept = most_kept
        self._logger = logger
        self._mapped: dict[tuple[int, int], _Mapped] = {}
        self._kept: list[tuple[int, Lease]] = []  # with the edge
        self._gone: deque[None] = deque()
        self._lock = threading.Lock()
        self._warned = False

    # the kernel's thread

    def look(self, references: References) -> list[tuple[memoryview | None, Lease | None]]:
        """The data of each message that is a block, and the lease of it; None and None for the others.

        Raises `WireError` for references that cannot be, `ArenaLostError` where the arena is another one than then.
        """
        mapped = self._arena(references)
        copies = self.kept_bytes > self._most_kept
        return [
            (None, None) if block is None else self._one(mapped, references.replica, block, copies)
            for block in references.blocks
        ]

    def _one(self, mapped: _Mapped, replica: int, block: BlockReference, copies: bool) -> tuple[memoryview, Lease]:
        if block.block >= BLOCKS or block.offset + block.length > mapped.capacity:
            raise WireError("a reference points out of its arena")
        array = mapped.array(block)
        if copies:
            return memoryview(array.tobytes()), Lease(mapped.index, replica, block, None)
        return array.data, Lease(mapped.index, replica, block, weakref.ref(array))

    def _arena(self, references: References) -> _Mapped:
        key = references.operator, references.replica
        mapped = self._mapped.get(key)
        if mapped is None:
            if self._root is None:
                raise ArenaLostError("this replica was given no shared memory; start the run with --no-shm")
            try:
                mapped = _Mapped(self._root / arena_name(*key))
            except (OSError, ValueError) as error:
                raise ArenaLostError(f"its shared memory is gone ({error})") from None
            self._mapped[key] = mapped
        if mapped.index.identity != references.identity:
            raise ArenaLostError("its shared memory is gone: the arena is a new one")
        return mapped

    def check(self, leases: Iterable[Lease]) -> None:
        """Raises `OvertakenError` where any of these, or what a kernel keeps, is not any more what it was."""
        for lease in leases:
            if not lease.valid:
                raise OvertakenError
        for _, lease in self._kept:
            if not lease.valid and lease.alive:
                raise OvertakenError

    # the transport's thread

    def kept_of(self, edge: int, leases: Iterable[Lease]) -> list[Lease]:
        """Which of these a kernel still has, now that their delivery is about to be settled: watched from now on."""
        kept = [lease for lease in leases if lease.alive]
        if kept:
            with self._lock:
                self._kept = [*self._kept, *((edge, lease) for lease in kept)]
            if self.kept_bytes > self._most_kept and not self._warned:
                self._warned = True
                self._logger.warning(
                    "the kernel keeps %d MB of what it was given beyond its calls: from now on it is given copies, "
                    "which is slower; keep a copy of what you need, array.copy()", self.kept_bytes // 10**6,
                )  # fmt: skip
        return kept

    @property
    def kept(self) -> list[tuple[int, Lease]]:
        return self._kept

    @property
    def kept_bytes(self) -> int:
        return sum([lease.size for _, lease in self._kept])

    def let_go(self) -> list[tuple[int, Lease]]:
        """What was kept and is not any more, with the edges: to be released."""
        if not self._kept:
            return []
        with self._lock:
            gone = [(edge, lease) for edge, lease in self._kept if not lease.alive]
            if gone:
                self._kept = [(edge, lease) for edge, lease in self._kept if lease.alive]
        return gone


def arena_name(operator: int, replica: int) -> str:
    """The folder of a replica's arena."""
    return f"{operator}.{replica}"

"""The arena of a producing replica: shared memory in which its large messages lie, for readers on the same host.

A folder with two files: `data`, which the producer and all readers map once, and `index` (see `arena_index`). A message
is a block of `data`; what travels through the broker is a reference to it. A block is free again when every edge that it
went to has released it: the readers say so, block by block (`release`), and where a reader has died or what it said
was lost, the broker's acknowledgements do (`settle`). A new incarnation of the producer takes over what an earlier one
left: nobody knows any more where that went, so all edges have to be done with it.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from interactem.runtime.arena_index import BLOCKS, DATA, Index
from interactem.runtime.extents import Extents, whole_pages

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROWTH = 16 * 2**20
"""Memory is asked for in steps of so many bytes."""
WAIT_SECONDS = 0.25
INHERITED_SECONDS = 2.0
"""So long after a producer's death, nothing that it has sent is still on its way to the broker."""
KEPT_SECONDS = 15.0
"""How long the word of a reader holds that a kernel still keeps a block."""

Patience = AbstractContextManager[Callable[[], bool]]
Reader = tuple[int, int]
"""A consumer: an edge, and the partition of it."""


class Block:
    """A part of the arena that is held. All but what never changes is the arena's to touch."""

    __slots__ = (
        "author", "explicit", "generation", "inherited", "kept_until", "loose", "marks", "number", "offset", "readers",
        "room", "stored", "to_store", "__weakref__",
    )  # fmt: skip

    def __init__(self, number: int, generation: int, offset: int, room: int) -> None:
        self.number = number
        self.generation = generation
        self.offset = offset
        self.room = room
        self.readers: dict[int, int] = {}
        """By edge, how many messages there are in this block that nobody has released."""
        self.marks: dict[Reader, int] = {}
        """By consumer, the sequence of the last batch that refers to it."""
        self.to_store = 0
        self.stored = False
        self.explicit = True
        """Whether what readers say counts: not where a batch may have been stored twice."""
        self.inherited = False
        self.kept_until = 0.0
        self.loose = True
        """Whether it has not been passed on to be stored."""
        self.author: weakref.ref[Any] | None = None
        """The array through which the kernel writes to it."""


class Placed:
    """A message's data in the arena, on its way to be sent. Dropped before that, its block is free again."""

    __slots__ = ("_arena", "block", "size")

    def __init__(self, arena: Arena, block: Block, size: int) -> None:
        self._arena = arena
        self.block = block
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __del__(self) -> None:
        self._arena.dropped.append(self.block)


class Unsettled(NamedTuple):
    """An edge that has not released a block. `marks`: what its consumers must have acknowledged; None: everything."""

    number: int
    generation: int
    edge: int
    marks: dict[Reader, int] | None


class Progress(NamedTuple):
    """How far a consumer is: all up to `floor` is acknowledged; `idle`: all there is."""

    floor: int
    idle: bool


def _is_done(one: Unsettled, consumers: Mapping[Reader, Progress], first: Mapping[Reader, int]) -> bool:
    readers = [reader for reader in consumers if reader[0] == one.edge] if one.marks is None else list(one.marks)
    for reader in readers:
        progress = consumers.get(reader)
        if progress is None:
            return False
        mark = first.get(reader) if one.marks is None else one.marks[reader]
        if not progress.idle and (mark is None or progress.floor < mark):
            return False
    return bool(readers)


class Arena:
    """The producer's side. `edges` has the outputs' edges, `waited` the seconds spent waiting for room.

    `patience` is entered while the kernel's thread waits, and what it gives called now and then: False ends the wait.
    """

    def __init__(self, folder: Path, capacity: int, edges: Iterable[int] = ()) -> None:
        """Take over the arena in `folder`, or make one there. Raises `OSError`, `ValueError`."""
        import numpy as np

        self.patience: Patience = nullcontext(lambda: True)
        self.waited = 0.0
        self.edges = tuple(edges)
        self.dropped: deque[Block] = deque()
        self._room = threading.Condition()
        self.wanting = False
        """Whether somebody waits for room."""
        self._index = self._opened(folder, capacity)
        self.identity = self._index.identity
        self.capacity = self._index.capacity
        with (folder / DATA).open("r+b") as file:
            self._file = os.dup(file.fileno())
            self._map = mmap.mmap(self._file, self.capacity)
        self._bytes: NDArray[Any] = np.frombuffer(self._map, dtype=np.uint8)
        self._extents = Extents(self.capacity)
        self._grown = 0
        self._free = [number for number in range(BLOCKS - 1, -1, -1)]
        self._held: dict[int, Block] = {}
        self._first: dict[Reader, int] = {}
        self._nearly_settled: set[tuple[int, int, int]] = set()
        self._take_over()

    @staticmethod
    def _opened(folder: Path, capacity: int) -> Index:
        try:
            index = Index.open(folder, writable=True)
            if (folder / DATA).stat().st_size == index.capacity:
                return index
        except FileNotFoundError:
            pass
        with (folder / DATA).open("w+b") as file:
            file.truncate(capacity)
        return Index.make(folder, capacity)

    def _take_over(self) -> None:
        for number in self._index.held():
            offset, room = self._index.extent(number)
            if not self._extents.occupy(offset, room):
                raise ValueError(f"block {number} of the arena is where another one is")
            block = self._held[number] = Block(number, self._index.generation(number), offset, room)
            block.readers = dict.fromkeys(self.edges, 1)
            block.inherited, block.loose = True, False
            self._grown = max(self._grown, offset + room)
        if self._held:
            self._free = [number for number in self._free if number not in self._held]
        self._index.begin(time.monotonic_ns())
        self._inherited_until = time.monotonic() + INHERITED_SECONDS

    # the kernel's thread

    def place(self, data: memoryview, edges: Iterable[int], batches: int = 1) -> Placed | None:
        """A copy of `data` in the arena, for the readers of these edges. None where no room can be waited for."""
        import numpy as np

        block = self.take(data.nbytes)
        if block is None:
            return None
        np.copyto(
            self._bytes[block.offset : block.offset + data.nbytes], np.frombuffer(data, dtype=np.uint8)
        )  # gives the interpreter to the transport meanwhile
        return self.address(block, data.nbytes, edges, batches)

    def address(self, block: Block, size: int, edges: Iterable[int], batches: int = 1) -> Placed:
        """The block is to be sent over these edges, in so many batches."""
        with self._room:
            for edge in edges:
                block.readers[edge] = block.readers.get(edge, 0) + 1
            block.to_store += batches
            block.stored = False
        return Placed(self, block, size)

    def take(self, size: int) -> Block | None:
        """A block of this size, once there is room; None where there cannot be any soon."""
        room = whole_pages(size)
        if room > self.capacity:
            return None
        with self._room:
            self._sweep()
            block = self._take(room)
            if block is not None:
                return block
        begun = time.monotonic()
        with self.patience as goes_on:
            try:
                self.wanting = True
                while goes_on():
                    with self._room:
                        if not self._helps_to_wait():
                            return None
                        self._room.wait(WAIT_SECONDS)
                        self._sweep()
                        if (block := self._take(room)) is not None:
                            return block
            finally:
                self.wanting = False
                self.waited += time.monotonic() - begun
        return None

    def _helps_to_wait(self) -> bool:
        """Whether anything is on its way that somebody will release."""
        now = time.monotonic()
        return any(block.readers and not block.loose and block.kept_until < now for block in self._held.values())

    def _take(self, room: int) -> Block | None:
        if not self._free:
            return None
        offset = self._extents.take(room)
        if offset is None:
            return None
        if offset + room > self._grown and not self._grow(offset + room):
            self._extents.give(offset, room)
            return None
        number = self._free.pop()
        block = Block(number, self._index.take(number, offset, room), offset, room)
        self._held[number] = block
        return block

    def _grow(self, end: int) -> bool:
        """Have the memory up to `end`: to write to what the system has no page for would end the process."""
        for goal in (min(self.capacity, -(-end // GROWTH) * GROWTH), end):
            try:
                os.posix_fallocate(self._file, self._grown, goal - self._grown)
            except OSError:
                continue
            self._grown = goal
            return True
        return False

    def view(self, block: Block, size: int) -> NDArray[Any]:
        """Memory of a block that can be written to. The block is held for as long as that is there."""
        array = self._bytes[block.offset : block.offset + size]
        return array

    # any thread

    def handed(self, placed: Iterable[Placed]) -> None:
        """These are in the outbox: they will be stored."""
        for one in placed:
            one.block.loose = False

    def _sweep(self) -> None:
        """Free what was never sent."""
        while self.dropped:
            block = self.dropped.popleft()
            if block.loose:
                block.readers.clear()
                block.stored = True
                self._free_if_done(block)

    # the transport's thread

    def stored(self, placed: Iterable[Placed], reader: Iterable[Reader], sequence: int, *, again: bool) -> None:
        """A batch that refers to these is stored; `again` says that it may be so twice."""
        reader = tuple(reader)
        with self._room:
            if time.monotonic() > self._inherited_until:
                for each in reader:
                    self._first.setdefault(each, sequence)
            for one in placed:
                block = one.block
                for each in reader:
                    block.marks[each] = max(sequence, block.marks.get(each, 0))
                block.to_store -= 1
                block.stored = block.to_store <= 0
                if again and block.explicit:
                    block.explicit = False
                    block.readers = {edge: 1 for edge, _ in block.marks}
                self._free_if_done(block)

    def release(self, edge: int, numbers: Iterable[tuple[int, int]]) -> None:
        """A reader is done with these blocks, given with their generations."""
        with self._room:
            for number, generation in numbers:
                block = self._held.get(number)
                if block is None or block.generation != generation or not block.explicit:
                    continue
                left = block.readers.get(edge, 0) - 1
                if left > 0:
                    block.readers[edge] = left
                else:
                    block.readers.pop(edge, None)
                block.kept_until = 0.0
                self._free_if_done(block)

    def keep(self, numbers: Iterable[tuple[int, int]]) -> None:
        """Readers say that a kernel keeps these."""
        until = time.monotonic() + KEPT_SECONDS
        with self._room:
            for number, generation in numbers:
                block = self._held.get(number)
                if block is not None and block.generation == generation:
                    block.kept_until = until

    def outstanding(self) -> list[Unsettled]:
        """What nobody has released so far, as it is now: for `settle`."""
        now, monotonic = time.monotonic(), time.monotonic_ns()
        found: list[Unsettled] = []
        with self._room:
            for block in self._held.values():
                if not block.readers or block.kept_until > now:
                    continue
                if block.inherited:
                    if monotonic - self._index.ended(block.number) > INHERITED_SECONDS * 1e9:
                        found += [Unsettled(block.number, block.generation, edge, None) for edge in block.readers]
                elif block.stored:
                    for edge in block.readers:
                        marks = {reader: mark for reader, mark in block.marks.items() if reader[0] == edge}
                        found.append(Unsettled(block.number, block.generation, edge, marks))
        return found

    def settle(self, outstanding: Iterable[Unsettled], consumers: Mapping[Reader, Progress]) -> None:
        """Free what the consumers are certainly done with: `outstanding` before they were asked, and in two rounds.

        Twice, since what a reader has said before its acknowledgement may still be on its way to us.
        """
        with self._room:
            done = {
                (one.number, one.generation, one.edge) for one in outstanding if _is_done(one, consumers, self._first)
            }
            for number, generation, edge in done & self._nearly_settled:
                block = self._held.get(number)
                if block is not None and block.generation == generation and block.kept_until < time.monotonic():
                    block.readers.pop(edge, None)
                    self._free_if_done(block)
            self._nearly_settled = done

    def _free_if_done(self, block: Block) -> None:
        if block.readers or not (block.stored or block.inherited) or self._held.get(block.number) is not block:
            return
        del self._held[block.number]
        self._index.free(block.number)  # before anybody can be given its memory
        self._extents.give(block.offset, block.room)
        self._free.append(block.number)
        if self.wanting:
            self._room.notify_all()

    # figures

    @property
    def held(self) -> int:
        """How many blocks are held."""
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        return self.capacity - self._extents.free

    def close(self) -> None:
        os.close(self._file)

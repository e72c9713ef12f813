"""The arena of a producing replica: shared memory in which its large messages lie, for readers on the same host.

A folder with two files: `data`, which the producer and all readers map once, and `index` (see `arena_index`). A message
is a block of `data`; what travels through the broker is a reference to it. A block is free again when every edge that
it went to has released it: the readers say so, block by block (`release`), and where a reader has died or what it said
was lost, the broker's acknowledgements do (`settle`). A new incarnation of the producer takes over what an earlier one
left: nobody knows any more where that went, so all edges have to be done with it.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from interactem.runtime.arena_index import INDEX
from interactem.runtime.arena_space import Space
from interactem.runtime.extents import whole_pages
from interactem.runtime.lending import Loan

AHEAD_BYTES, AHEAD_BLOCKS = 64 * 2**20, 3
"""More under way would be on pages that nobody has used before, and out of all caches before it is read."""
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
        "__weakref__",
        "author",
        "explicit",
        "generation",
        "inherited",
        "kept_until",
        "loose",
        "marks",
        "number",
        "offset",
        "placed",
        "readers",
        "room",
        "stored",
        "to_store",
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
        self.placed = 0
        """How many `Placed` there are of it."""
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

    @property
    def lent(self) -> bool:
        """Whether the kernel can still get at it."""
        return self.author is not None and self.author() is not None


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
        self._arena.dropped.append((self.block, 1))


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
        """Take over the arena in `folder`, if there is one; else it is made when it is needed first.

        Raises `OSError` and `ValueError` where there cannot be one.
        """
        self.patience: Patience = nullcontext(lambda: True)
        self.waited = 0.0
        self.wanting = False
        """Whether somebody waits for room."""
        self.why_not = ""
        """Why there cannot be anything in it."""
        self.edges = tuple(edges)
        self.dropped: deque[tuple[Block, int]] = deque()
        """Blocks of which something here was let go, by any thread at any time; and how many `Placed` that was."""
        self._folder = folder
        self.capacity = capacity
        self._room = threading.Condition()
        self._held: dict[int, Block] = {}
        self._first: dict[Reader, int] = {}
        self._nearly_settled: set[tuple[int, int, int]] = set()
        self._space: Space | None = None
        self._inherited_until = 0.0
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no {folder}")
        if (folder / INDEX).exists():
            self._take_over()

    def _take_over(self) -> Space:
        space = self._space = Space(self._folder, self.capacity)
        self.capacity = space.capacity
        for number in space.inherited:
            block = self._held[number] = Block(number, space.index.generation(number), *space.index.extent(number))
            block.readers = dict.fromkeys(self.edges, 1)
            block.inherited, block.loose = True, False
        self._inherited_until = time.monotonic() + INHERITED_SECONDS
        return space

    # the kernel's thread

    def place(self, data: memoryview, edges: Iterable[int], batches: int = 1) -> Placed | None:
        """A copy of `data` in the arena, for the readers of these edges. None where no room can be waited for."""
        block = self.take(data.nbytes)
        if block is None or self._space is None:
            return None
        self._space.write(block.offset, data)
        return self.address(block, data.nbytes, edges, batches)

    def lend(self, size: int) -> Loan | None:
        """A block to be written to, which is held for as long as anybody can."""
        block = self.take(size)
        if block is None or self._space is None:
            return None
        memory = self._space.array(block.offset, size)
        block.author = weakref.ref(memory, lambda _: self.dropped.append((block, 0)))
        return Loan(memory, self, block)

    def protect(self, block: Block) -> None:
        """It is sent: the author can write to it no more, by whatever is left of what it was lent."""
        if self._space is not None and block.lent:
            self._space.protect(block.number, block.offset, block.room)

    def address(self, block: Block, size: int, edges: Iterable[int], batches: int = 1) -> Placed:
        """The block is to be sent over these edges, in so many batches."""
        with self._room:
            for edge in edges:
                block.readers[edge] = block.readers.get(edge, 0) + 1
            block.placed += 1
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
            block = None if self._is_ahead(room) else self._take(room)
            if block is not None:
                return block
        begun = time.monotonic()
        with self.patience as goes_on:
            try:
                self.wanting = True
                while goes_on():
                    with self._room:
                        if not self._helps_to_wait():
                            return self._take(room)
                        self._room.wait(WAIT_SECONDS)
                        self._sweep()
                        if not self._is_ahead(room) and (block := self._take(room)) is not None:
                            return block
            finally:
                self.wanting = False
                self.waited += time.monotonic() - begun
        return None

    def _is_ahead(self, room: int) -> bool:
        """Whether enough is under way. Where there is anything to wait for, that is all that is used of the arena."""
        several = max(1, len(self.edges) // 2)  # the slowest of many readers takes longer
        return self.held_bytes + room > max(AHEAD_BYTES * several, AHEAD_BLOCKS * room)

    def _helps_to_wait(self) -> bool:
        """Whether anything is on its way that somebody will release."""
        now = time.monotonic()
        return any(block.readers and not block.loose and block.kept_until < now for block in self._held.values())

    def _take(self, room: int) -> Block | None:
        if self.why_not:
            return None
        try:
            space = self._space or self._take_over()
        except (OSError, ValueError) as error:
            self.why_not = f"there can be no arena: {error}"
            return None
        if (taken := space.take(room)) is None:
            return None
        number, generation, offset = taken
        block = self._held[number] = Block(number, generation, offset, room)
        return block

    # any thread

    def handed(self, placed: Iterable[Placed]) -> None:
        """These are in the outbox: they will be stored."""
        for one in placed:
            one.block.loose = False

    def _sweep(self) -> None:
        """Free what was never sent."""
        while self.dropped:
            block, placed = self.dropped.popleft()
            block.placed -= placed
            if block.loose and not block.placed and not block.lent:
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
                    block.readers = {**block.readers, **{edge: 1 for edge, _ in block.marks}}
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
        if self._space is None:
            return found
        with self._room:
            for block in self._held.values():
                if not block.readers or block.kept_until > now:
                    continue
                if block.inherited:
                    if monotonic - self._space.index.ended(block.number) > INHERITED_SECONDS * 1e9:
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
        if block.lent:
            return
        del self._held[block.number]
        if self._space is not None:
            self._space.give(block.number, block.offset, block.room)
        if self.wanting:
            self._room.notify_all()

    # figures

    @property
    def held(self) -> int:
        """How many blocks are held."""
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        return 0 if self._space is None else self._space.taken

    @property
    def identity(self) -> bytes:
        """The arena's; raises `ValueError` before there is anything in it."""
        if self._space is None:
            raise ValueError("there is nothing in the arena so far")
        return self._space.index.identity

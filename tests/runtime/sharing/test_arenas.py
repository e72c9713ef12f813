"""The producer's side of shared memory: what is held, for how long, and what becomes of it after a death."""

from __future__ import annotations

import ast
import gc
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from interactem.runtime.arena import INHERITED_SECONDS, Arena, Progress
from interactem.runtime.arena_index import Index
from interactem.runtime.extents import PAGE, Extents

MEBIBYTE = 2**20
READER = (0, 0)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def arena_in(folder, size=4 * MEBIBYTE, edges=(0,)):
    return Arena(folder, size, edges)


def place(arena, size=MEBIBYTE, edges=(0,), fill=1):
    placed = arena.place(memoryview(bytes([fill]) * size), edges)
    assert placed is not None
    arena.handed([placed])
    return placed


def store(arena, placed, sequence, readers=(READER,), again=False):
    arena.stored([placed], readers, sequence, again=again)


def key(placed):
    return placed.block.number, placed.block.generation


def settle(arena, **consumers):
    """As twice in a row: the broker is asked, and the answer is looked at."""
    told = {(int(name[1:]), 0): progress for name, progress in consumers.items()}
    for _ in range(2):
        arena.settle(arena.outstanding(), told)


def test_memory_is_asked_for_when_something_is_put_into_it(folder):
    arena = arena_in(folder)
    assert not list(folder.iterdir())
    place(arena)
    assert sorted(path.name for path in folder.iterdir()) == ["data", "index"]


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        Arena(tmp_path / "gone", MEBIBYTE)


def test_a_block_is_free_when_it_is_stored_and_every_edge_has_released_it(folder):
    arena = arena_in(folder, edges=(0, 1))
    one = place(arena, edges=(0, 1))
    arena.release(0, [key(one)])
    arena.release(1, [key(one)])
    assert arena.held == 1, "its batch may not be stored so far, and then it would be sent again"
    store(arena, one, 1)
    assert arena.held == 0
    assert Index.open(folder).generation(one.block.number) == one.block.generation + 1


def test_the_same_memory_is_used_again(folder):
    arena = arena_in(folder)
    offsets = set()
    for number in range(20):
        one = place(arena)
        offsets.add(one.block.offset)
        store(arena, one, number + 1)
        arena.release(0, [key(one)])
    assert offsets == {0}


def test_a_release_of_an_earlier_generation_frees_nothing(folder):
    arena = arena_in(folder)
    one = place(arena)
    store(arena, one, 1)
    arena.release(0, [(one.block.number, one.block.generation - 2), (77, 1)])
    assert arena.held == 1


def test_a_message_in_two_batches_is_held_for_both(folder):
    arena = arena_in(folder, edges=(0,))
    placed = arena.place(memoryview(bytes(MEBIBYTE)), (0, 0), 2)
    arena.handed([placed])
    store(arena, placed, 1)
    arena.release(0, [key(placed)])
    store(arena, placed, 2)
    assert arena.held == 1
    arena.release(0, [key(placed)])
    assert arena.held == 0


def test_what_a_failed_call_made_is_free_again(folder):
    arena = arena_in(folder)
    placed = arena.place(memoryview(bytes(MEBIBYTE)), (0,))
    del placed
    gc.collect()
    assert arena.take(4 * MEBIBYTE) is not None


def test_a_full_arena_waits_for_its_readers(folder):
    arena = arena_in(folder)
    held = [place(arena) for _ in range(4)]
    for number, one in enumerate(held):
        store(arena, one, number + 1)
    waits = threading.Event()

    def patience():
        waits.set()
        return True

    class Patience:
        def __enter__(self):
            return patience

        def __exit__(self, *_):
            pass

    arena.patience = Patience()
    found = []
    thread = threading.Thread(target=lambda: found.append(place(arena)))
    thread.start()
    assert waits.wait(30)
    arena.release(0, [key(held[2])])
    thread.join(30)
    assert found[0].block.offset == held[2].block.offset
    assert arena.waited > 0


def test_nobody_waits_where_nothing_is_on_its_way(folder):
    """What a kernel makes and keeps to itself, or what readers' kernels keep, is not released by waiting."""
    arena = arena_in(folder)
    loose = [arena.place(memoryview(bytes(MEBIBYTE)), (0,)) for _ in range(3)]
    kept = place(arena)
    store(arena, kept, 1)
    arena.keep([key(kept)])
    assert arena.place(memoryview(bytes(MEBIBYTE)), (0,)) is None
    assert len(loose) == 3


def test_what_is_larger_than_the_arena_does_not_go_in(folder):
    assert arena_in(folder).place(memoryview(bytes(5 * MEBIBYTE)), (0,)) is None


def test_acknowledgements_free_what_nobody_has_released(folder):
    arena = arena_in(folder, edges=(0, 1))
    first, second = place(arena, edges=(0, 1)), place(arena, edges=(0,))
    store(arena, first, 7, [(0, 0), (1, 0)])
    store(arena, second, 8)
    settle(arena, e0=Progress(7, False), e1=Progress(6, False))
    assert arena.held == 2, "edge 1 is not that far"
    settle(arena, e0=Progress(7, False), e1=Progress(7, False))
    assert arena.held == 1, "the first one is done, the second one was not acknowledged"
    settle(arena, e0=Progress(7, True), e1=Progress(7, True))
    assert arena.held == 0, "a consumer with nothing left has acknowledged everything"


def test_it_takes_two_looks_at_the_acknowledgements(folder):
    arena = arena_in(folder)
    one = place(arena)
    store(arena, one, 1)
    arena.settle(arena.outstanding(), {READER: Progress(1, True)})
    assert arena.held == 1
    arena.settle(arena.outstanding(), {READER: Progress(1, True)})
    assert arena.held == 0


def test_what_a_reader_says_it_keeps_is_not_freed_by_acknowledgements(folder):
    arena = arena_in(folder)
    one = place(arena)
    store(arena, one, 1)
    arena.keep([key(one)])
    settle(arena, e0=Progress(9, True))
    assert arena.held == 1
    arena.release(0, [key(one)])
    assert arena.held == 0


def test_what_may_be_stored_twice_is_freed_by_acknowledgements_alone(folder):
    arena = arena_in(folder)
    one = place(arena)
    arena.release(0, [key(one)])  # by a reader of the first copy
    store(arena, one, 5, again=True)
    arena.release(0, [key(one)])
    assert arena.held == 1
    settle(arena, e0=Progress(5, False))
    assert arena.held == 0


DIES = """
import sys, time
from pathlib import Path
from interactem.runtime.arena import Arena
arena = Arena(Path(sys.argv[1]), 4 * 2**20, (0, 1))
placed = [arena.place(memoryview(bytes([number]) * 2**20), (0, 1)) for number in range(3)]
arena.handed(placed)
arena.stored(placed[:1], [(0, 0), (1, 0)], 1, again=False)
for edge in 0, 1:
    arena.release(edge, [(placed[0].block.number, placed[0].block.generation)])
print([(one.block.number, one.block.generation, one.block.offset) for one in placed], flush=True)
time.sleep(600)
"""


def program(text, folder):
    return subprocess.Popen([sys.executable, "-c", text, str(folder)], stdout=subprocess.PIPE, text=True)


def test_a_new_incarnation_takes_over_what_a_killed_one_has_left(folder):
    with program(DIES, folder) as process:
        blocks = ast.literal_eval(process.stdout.readline())
        process.kill()
    arena = arena_in(folder, edges=(0, 1))
    assert arena.held == 2
    data = (folder / "data").read_bytes()
    for number, (block, generation, offset) in list(enumerate(blocks))[1:]:
        assert data[offset : offset + MEBIBYTE] == bytes([number]) * MEBIBYTE
        assert Index.open(folder).generation(block) == generation
    arena.release(0, [blocks[1][:2]])
    arena.release(1, [blocks[1][:2]])
    assert arena.held == 1, "readers release what they were sent, whoever sent it"
    settle(arena, e0=Progress(9, True), e1=Progress(9, True))
    assert arena.held == 1, "what the dead one has sent last may be on its way to the broker"
    time.sleep(INHERITED_SECONDS + 0.1)
    settle(arena, e0=Progress(9, True), e1=Progress(9, False))
    assert arena.held == 1
    settle(arena, e0=Progress(9, True), e1=Progress(9, True))
    assert arena.held == 0


def test_lent_memory_is_held_until_nobody_can_write_to_it(folder):
    arena = arena_in(folder)
    loan = arena.lend(MEBIBYTE)
    row = loan.memory.reshape(1024, 1024)[3]
    placed = arena.address(loan.block, MEBIBYTE, (0,))
    arena.handed([placed])
    store(arena, placed, 1)
    number, generation = key(placed)
    arena.release(0, [(number, generation)])
    del placed, loan
    assert arena.held == 1, "a row of it is still there"
    del row
    assert arena.take(4 * MEBIBYTE) is not None


def test_what_was_lent_and_is_about_to_be_sent_is_not_freed(folder):
    arena = arena_in(folder)
    loan = arena.lend(MEBIBYTE)
    placed = arena.address(loan.block, MEBIBYTE, (0,))
    del loan
    gc.collect()
    assert arena.take(4 * MEBIBYTE) is None
    assert len(placed) == MEBIBYTE


def test_lent_memory_that_is_never_sent_is_free_again(folder):
    arena = arena_in(folder)
    for _ in range(10):
        arena.lend(3 * MEBIBYTE).memory[:] = 1
    assert arena.take(4 * MEBIBYTE) is not None


WRITES = """
import sys
from pathlib import Path
from interactem.runtime.arena import Arena
arena = Arena(Path(sys.argv[1]), 4 * 2**20, (0,))
loan = arena.lend(2**20)
row = loan.memory[:100]  # made before: numpy does not know that it must not be written to
loan.seal()
arena.protect(loan.block)
print("protected", flush=True)
row[0] = 1
print("written", flush=True)
"""


def test_writing_to_what_was_sent_ends_the_process(folder):
    with program(WRITES, folder) as process:
        assert process.stdout.read().split() == ["protected"]
    assert process.returncode == -signal.SIGSEGV


def test_a_damaged_index_is_refused(folder):
    place(arena_in(folder))
    (folder / "index").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="no index"):
        arena_in(folder)


def test_extents_never_overlap_and_are_joined_again():
    random = np.random.default_rng(1)
    extents, taken = Extents(1000 * PAGE), {}
    for _ in range(5_000):
        if taken and random.random() < 0.5:
            start = list(taken)[random.integers(len(taken))]
            extents.give(start, taken.pop(start))
        elif (start := extents.take(size := int(random.integers(1, 50)) * PAGE)) is not None:
            assert all(start >= other + length or start + size <= other for other, length in taken.items())
            taken[start] = size
        assert extents.free == 1000 * PAGE - sum(taken.values())
    for start, size in taken.items():
        extents.give(start, size)
    assert len(extents) == 1
    assert extents.take(1000 * PAGE) == 0

"""Blocks of shared memory wait for those readers alone whose edges take the message."""

from __future__ import annotations

import pytest

from interactem.runtime import BytesMessage, MessageHeader
from interactem.runtime.arena import Arena, Placed
from interactem.runtime.assignment import Assignment, Output
from interactem.runtime.ids import source_id
from interactem.runtime.outbox import Outbox
from interactem.runtime.packing import Packing
from interactem.runtime.routing import Route, canonical, hash_of

LARGE = bytes(200_000)


@pytest.fixture
def packing(tmp_path):
    evens, keyed = Route(7, "evens", (("any", ("even",)),)), Route(8, "keyed", (("any", ("keyed",)),), ("k",))
    output = Output("out", 0, 1, (7, 8), (1, 2), (1, 3), shm=True, routes=(evens, keyed))
    assignment = Assignment("r", 0, "s", outputs=(output,), arena=2**22)
    outbox = Outbox(assignment)
    (tmp_path / "arena").mkdir()
    outbox.arena = Arena(tmp_path / "arena", 2**22, (7, 8))
    return Packing(assignment, outbox, copies=lambda: False), outbox


@pytest.mark.parametrize(("tags", "edges"), [(["even"], {7}), (["keyed"], {8}), (["even", "keyed"], {7, 8})])
def test_a_block_is_held_for_the_edges_that_take_it(packing, tags, edges):
    pack, outbox = packing
    made = []
    pack.pack_into(made, BytesMessage(MessageHeader(meta={"k": 5}), LARGE, tags=tags), *source_id("s", 0))
    [(_, packed)] = made
    placed = packed[4]
    assert type(placed) is Placed
    assert placed.block.readers.keys() == edges
    outbox.arena.handed([placed])
    _, [store] = outbox.stores(made)
    store.stored(11, False)
    parts = {7: 0, 8: hash_of(canonical(5)) % 3}
    assert placed.block.marks == {(edge, parts[edge]): 11 for edge in edges}
    for edge in edges:
        outbox.arena.release(edge, [(placed.block.number, placed.block.generation)])
    assert not placed.block.readers


def test_what_nobody_takes_needs_no_block(packing):
    pack, outbox = packing
    made = []
    assert pack.pack_into(made, BytesMessage(data=LARGE), *source_id("s", 0)) == 0
    assert (made, pack.unwanted) == ([], 1)
    assert outbox.arena.outstanding() == []

"""What a broker hands out again although it was done: its blocks are free by then."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from interactem.runtime.errors import ArenaLostError
from interactem.runtime.inputs import Inputs


def look(*, found, active=False, unseen=True, recomputed=False):
    """Whether a batch is worked off, and whether it was settled: one whose blocks are `found`, or an error."""

    def find(views):
        if isinstance(found, Exception):
            raise found
        return found

    settled = []
    inputs = object.__new__(Inputs)
    inputs._views = inputs._transport = None
    inputs._effects = SimpleNamespace(active=active, unseen=lambda batch: [range(1)] if unseen else [])
    inputs._hearing = SimpleNamespace(recomputed=recomputed)
    inputs._context = SimpleNamespace(logger=logging.getLogger("interactem.operator"))
    inputs._check_sender = lambda batch: None
    inputs._settle = lambda batch, *, kept: settled.append(kept)
    batch = SimpleNamespace(look=find, ids=[1], id=lambda index: "frames.7", port="in")
    return inputs._look(batch), settled


def test_what_is_there_is_worked_off():
    assert look(found=True) == (True, [])


def test_what_was_done_is_settled_however_often_it_comes():
    assert [look(found=False) for _ in range(5)] == [(False, [True])] * 5


def test_what_has_had_its_effect_needs_no_data():
    assert look(found=False, active=True, unseen=False) == (True, [])


def test_what_has_had_no_effect_is_lost():
    with pytest.raises(ArenaLostError, match=r"input in: the data of frames\.7 is gone: its block is used"):
        look(found=False, active=True)


def test_an_arena_that_is_gone_is_a_loss_unless_all_is_computed_again():
    gone = ArenaLostError("its shared memory is gone")
    with pytest.raises(ArenaLostError, match=r"the data of frames\.7 is gone: its shared memory is gone"):
        look(found=gone)
    assert look(found=gone, recomputed=True) == (False, [True])

"""The faults are those of the seed."""

from __future__ import annotations

import pytest
from chaos.campaign import plan
from chaos.injecting import ACTIONS
from chaos.schedules import KINDS, MOST_STALLS, schedule
from chaos.shapes import SHAPES

ACKNOWLEDGEMENT_SECONDS = 5.0


@pytest.mark.parametrize("proxied", [False, True])
def test_the_same_seed_gives_the_same_faults(proxied):
    faults = schedule("7 chain", 100, proxied=proxied)
    assert len(faults) == 100
    assert schedule("7 chain", 100, proxied=proxied) == faults
    assert schedule("8 chain", 100, proxied=proxied) != faults


@pytest.mark.parametrize("proxied", [False, True])
def test_every_kind_comes(proxied):
    seen = {fault.kind for fault in schedule("7", 100, proxied=proxied)}
    assert seen == {kind.name for kind in KINDS if kind.proxied in (None, proxied)}


def test_every_kind_can_be_done():
    assert set(ACTIONS) == {kind.name for kind in KINDS}


def test_long_stops_outlast_the_acknowledgement_time_and_few_stall_everything():
    faults = schedule("7", 20, proxied=False)
    assert all(fault.seconds > ACKNOWLEDGEMENT_SECONDS for fault in faults if fault.kind.endswith("for long"))
    assert sum(fault.kind == "stop broker for long" for fault in faults) <= MOST_STALLS


def test_a_campaign_has_what_was_asked_for():
    cases = plan(SHAPES, seed=7, faults=200, messages=40_000, rounds=2)
    assert len(cases) == 2 * len(SHAPES)
    assert sum(case.faults for case in cases) >= 200
    assert sum(case.shape.expected(case.count).messages for case in cases) >= 40_000
    assert {case.proxied for case in cases} == {False, True}
    assert len({case.name for case in cases}) == len(cases)

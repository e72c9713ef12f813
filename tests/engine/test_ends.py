"""What a supervisor takes up of the ends that an earlier one has seen, and what it tells."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

from interactem.engine.decisions import about_to_end
from interactem.engine.ends import Draining, Ends
from interactem.engine.plan import Plan, PlannedOperator
from interactem.engine.progress import Tally
from interactem.runtime.assignment import Assignment, Input, Output
from interactem.runtime.statistics import Counts

SOURCE = Assignment("r", 0, "source", outputs=(Output("out", 0, 1, (0,), (1,)),))
MIDDLE = Assignment(
    "r", 1, "middle", replicas=2, inputs=(Input(0, "in", 0, 1),), outputs=(Output("out", 1, 1, (1,), (2,)),)
)
SINK = Assignment("r", 2, "sink", inputs=(Input(1, "in", 1, 1),))
OTHER = Assignment("r", 3, "other", outputs=(Output("out", 2, 1, (), ()),))
PLAN = Plan(
    "r", "test", "process", tuple(PlannedOperator(a.name, a.name, "/", a) for a in (SOURCE, MIDDLE, SINK, OTHER)), {}
)
NAMES = PLAN.names


def finished(shelf, operator, replica=0, *, drained=False, sent=0):
    counts = Counts(sent=sent).to_value()
    shelf.stored[NAMES.record(operator, replica, "finished")] = json.dumps(
        {"drained": drained, "counts": counts}
    ).encode()


def told(shelf, operator, kind="finish"):
    shelf.stored[NAMES.control(operator, kind)] = b"{}"


def taken_up(shelf):
    ends = Ends(PLAN, {operator.index: Tally() for operator in PLAN.operators})
    asyncio.run(ends.take_up(shelf, dict(shelf.stored)))
    return ends


def test_what_has_ended_has_ended(shelf):
    finished(shelf, 0, sent=5)
    told(shelf, 1)
    finished(shelf, 1, 1)
    before = set(shelf.stored)
    ends = taken_up(shelf)
    assert ends.finished == {(0, 0), (1, 1)}
    assert ends.told == {1}
    assert not ends.cut_short
    assert set(shelf.stored) == before
    assert [ends.has_ended(operator) for operator in PLAN.operators] == [True, False, False, False]


def test_what_was_only_drained_goes_on_and_all_behind_it(shelf):
    told(shelf, 0, "drain")
    finished(shelf, 0, drained=True)
    for operator, replicas in ((1, 2), (2, 1)):
        told(shelf, operator)
        for replica in range(replicas):
            finished(shelf, operator, replica)
    finished(shelf, 3)
    ends = taken_up(shelf)
    assert ends.finished == {(3, 0)}
    assert ends.told == set()
    assert set(shelf.stored) == {NAMES.record(3, 0, "finished")}


def test_what_was_told_to_drain_and_did_not_is_told_no_more(shelf):
    told(shelf, 0, "drain")
    assert taken_up(shelf).finished == set()
    assert not shelf.stored


def test_sources_that_still_run_are_drained(shelf):
    finished(shelf, 3)
    ends = taken_up(shelf)
    asyncio.run(ends.drain(shelf, Draining()))
    assert [s for s in shelf.stored if s.endswith(".drain")] == [NAMES.control(0, "drain")]


def test_a_record_counts_also_when_its_news_was_lost(shelf):
    ends = taken_up(shelf)
    assert not asyncio.run(ends.is_finished(shelf, 1, 0))
    finished(shelf, 1, 0, drained=True)
    assert asyncio.run(ends.is_finished(shelf, 1, 0))
    assert ends.cut_short


def test_an_attached_supervisor_goes_on_with_what_is_under_way(shelf):
    why = Draining("enough", grace=30.0, until=1e12)
    shelf.stored[NAMES.control(0, "drain")] = json.dumps(asdict(why)).encode()
    finished(shelf, 0, drained=True)
    told(shelf, 1)
    finished(shelf, 1, 1)
    before = dict(shelf.stored)
    ends = Ends(PLAN, {operator.index: Tally() for operator in PLAN.operators})
    assert ends.attach(before) == why
    assert ends.finished == {(0, 0), (1, 1)}, "also what was only drained: its replicas have ended"
    assert ends.told == {1}
    assert ends.cut_short
    assert shelf.stored == before


def test_an_attached_supervisor_knows_where_nobody_drains(shelf):
    finished(shelf, 3)
    assert Ends(PLAN, {operator.index: Tally() for operator in PLAN.operators}).attach(dict(shelf.stored)) is None


def test_who_is_told_to_finish_hears_whether_the_stream_goes_on_later(shelf):
    """`source` is drained and `other` has ended: what is behind the first is cut short."""
    ends = Ends(PLAN, {operator.index: Tally() for operator in PLAN.operators})
    finished(shelf, 0, drained=True)
    finished(shelf, 3)
    ends.attach(dict(shelf.stored))
    assert [ends.is_cut_short(operator) for operator in PLAN.operators] == [True, True, True, False]


SIDE = Assignment("r", 1, "side", every=60.0)
SIDED = Plan("r", "test", "process", tuple(PlannedOperator(a.name, a.name, "/", a) for a in (SOURCE, SIDE)), {})


def sides_taken_up(shelf):
    ends = Ends(SIDED, {operator.index: Tally() for operator in SIDED.operators})
    asyncio.run(ends.take_up(shelf, dict(shelf.stored)))
    return ends.finished


def test_a_side_input_begins_again_with_those_that_go_on(shelf):
    finished(shelf, 0, drained=True)
    finished(shelf, 1)
    told(shelf, 1)
    assert sides_taken_up(shelf) == set()
    assert NAMES.control(1, "finish") not in shelf.stored


def test_a_side_input_of_a_run_that_has_ended_has_ended(shelf):
    finished(shelf, 0)
    finished(shelf, 1)
    assert sides_taken_up(shelf) == {(0, 0), (1, 0)}


def test_a_side_input_is_told_to_finish_when_all_others_are_done():
    side = SIDED.operators[1]
    assert about_to_end(SIDED, set(), set()) == []
    assert about_to_end(SIDED, {(0, 0)}, set()) == [side]
    assert about_to_end(SIDED, {(0, 0)}, {1}) == []

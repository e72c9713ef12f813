"""The watermark: what has been overtaken is waited for, and it never goes back."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from interactem.runtime import BytesMessage, Context, Fixed, MessageHeader, operator
from interactem.runtime.ids import file
from interactem.runtime.kernels import KERNEL
from interactem.runtime.kinds.reduce.progress import Origin, Progress
from interactem.runtime.kinds.reduce.reducer import Reducer


@given(st.permutations(range(12)), st.lists(st.integers(0, 100), min_size=12, max_size=12))
def test_the_time_is_that_of_all_positions_before_the_first_missing_one(order, times):
    one, come = Origin(), set()
    for now, position in enumerate(order):
        one.add(position, float(times[position]), float(now))
        come.add(position)
        missing = min(set(range(13)) - come)
        assert one.prefix == missing
        assert one.time == max((times[p] for p in range(missing)), default=-math.inf)
        spans = [set(range(a, b)) for a, b in zip(one.starts, one.stops, strict=True)]
        assert set().union(*spans) == {p for p in come if p >= missing}
        assert one.since == sorted(one.since)
    assert not one.starts


@given(st.lists(st.integers(0, 40), unique=True), st.integers(1, 40))
def test_what_is_missing_for_long_is_not_waited_for(positions, patience):
    one = Origin()
    for now, position in enumerate(positions):
        one.add(position, float(position), float(now))
    one.forgive(float(len(positions)))
    assert one.prefix == max(positions, default=-1) + 1
    assert one.time == max(positions, default=-math.inf)


def heard(progress, edge, name, time, now=0.0):
    progress.add(edge, *file(name), time, now)
    return progress.advance(now)


def test_the_least_of_all_origins_counts_and_it_never_goes_back():
    progress = Progress(lateness=1.0, patience=10.0, idle=None)
    assert heard(progress, 0, "a.0", 50.0) == 49.0
    assert heard(progress, 0, "b.0", 20.0) == 49.0, "it does not go back"
    assert heard(progress, 0, "b.1", 70.0) == 49.0
    assert heard(progress, 0, "a.1", 60.0) == 59.0
    assert heard(progress, 1, "a.0", 10.0) == 59.0, "another way from the same source counts by itself"
    assert heard(progress, 0, "a.2", 90.0) == 59.0


def test_a_source_that_says_nothing_is_idle_if_asked():
    progress = Progress(lateness=0.0, patience=10.0, idle=5.0)
    heard(progress, 0, "a.0", 1.0, 0.0)
    assert heard(progress, 0, "b.0", 100.0, 1.0) == 1.0
    assert heard(progress, 0, "b.1", 101.0, 4.0) == 1.0
    assert progress.advance(6.0) == 101.0
    assert progress.advance(60.0) == 101.0
    assert progress.waits


def test_a_source_that_begins_anew_counts_from_there():
    progress = Progress(lateness=0.0, patience=10.0, idle=None)
    heard(progress, 0, "a.7", 5.0)
    assert progress.advance(0.0) == -math.inf, "seven are missing"
    assert heard(progress, 0, "a~0~1.0", 6.0) == 6.0
    assert heard(progress, 0, "a.0", 99.0) == 6.0, "what comes from before counts for nothing"


def test_what_did_not_begin_in_a_source_counts_for_nothing():
    progress = Progress(lateness=0.0, patience=10.0, idle=None)
    for name in ("a!1.0", "m~0~end.1", "s~0~deadbeef.0", "text"):
        assert heard(progress, 0, name, 99.0) == -math.inf
    assert heard(progress, 0, "r~0~windows.0", 3.0) == 3.0
    assert heard(progress, 0, "a.0/3.0", 2.0) == 3.0
    assert heard(progress, 0, "a.1/3.5", 4.0) == 3.0


def test_it_is_stored_and_found_again():
    progress = Progress(lateness=0.0, patience=10.0, idle=None)
    for name, time in (("a.0", 1.0), ("a.2", 9.0), ("b~1~2.0", 4.0)):
        heard(progress, 0, name, time)
    again = Progress(lateness=0.0, patience=10.0, idle=None)
    again.read(progress.to_value(), 0.0)
    assert again.to_value() == progress.to_value()
    assert heard(again, 0, "a.1", 2.0) == 4.0


def test_what_a_dead_process_held_is_waited_for_whatever_the_patience():
    progress = Progress(lateness=0.0, patience=0.0, idle=None, returning=15.0)
    heard(progress, 0, "a.0", 1.0)
    assert heard(progress, 0, "a.2", 90.0, 1.0) == 1.0
    assert progress.advance(14.0) == 1.0
    assert heard(progress, 0, "a.1", 2.0, 14.0) == 90.0
    heard(progress, 0, "a.4", 99.0, 14.0)
    assert progress.advance(15.0) == 99.0


def test_a_watermark_that_the_clock_has_moved_is_stored():
    """Else the messages that it had not waited for would open a window again that has been told."""

    @operator.reduce(window=Fixed(10), patience=1)
    def count(key, messages, window):
        return None

    now = [0.0]
    context = Context("count")
    reducer = Reducer(getattr(count, KERNEL).reduction, context, {"in": 0}, lambda: now[0])

    def add(position, time):
        message = BytesMessage(MessageHeader(meta={"time": time}), port="in")
        message._id = file(f"a.{position}")
        reducer.add(message)

    add(0, 1.0)
    add(2, 25.0)
    reducer.settle()
    assert not list(reducer.due())
    now[0] = 2.0
    for due in reducer.due():
        reducer.told(due, 0)
    reducer.settle()
    assert reducer.open == 1
    reducer.forget()  # as another process would begin
    add(1, 5.0)
    assert reducer.open == 1, "it is late"

"""Reducers: what comes of windows, whatever crashes when."""

from __future__ import annotations

import itertools

import pytest
from delivery_harness import Collected, crash_at, message, node, sink, source

from interactem.runtime import Fixed, Session, Sliding, operator


def events(*given):
    """A source of messages, each from (time, key, text) or a dict of meta."""

    @operator
    def source(inputs, parameters):
        for number, one in enumerate(given):
            meta = one if isinstance(one, dict) else dict(zip(("time", "key", "text"), one, strict=False))
            yield message(str(number).encode(), **meta)

    return source


def listing(**options):
    """Tells of each window which messages were in it."""

    @operator.reduce(**options)
    def tell(key, messages, window):
        numbers = [int(one.data) for one in messages]
        return message(repr((key, window.start, window.end, numbers)).encode(), key=repr(key))

    return tell


def told(out):
    from math import inf

    return sorted((eval(one.data, {"inf": inf}) for one in out.messages), key=repr)


def reduced(flow, given, **options):
    out = Collected()
    nodes = {"s": source(events(*given)), "r": node(listing(**options)), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"])
    made.run()
    return made, out


INF = float("inf")


def test_the_whole_stream_by_key_needs_no_event_time(flow):
    given = [{"key": k} for k in "abacab"]
    made, out = reduced(flow, given, key="meta.key")
    assert told(out) == [("a", -INF, INF, [0, 2, 4]), ("b", -INF, INF, [1, 5]), ("c", -INF, INF, [3])]
    assert out.ids == ["r~0~windows.0", "r~0~windows.1", "r~0~windows.2"]
    assert made.dead() == []


def test_without_a_key_all_messages_are_together(flow):
    _, out = reduced(flow, [{}] * 5)
    assert told(out) == [(None, -INF, INF, [0, 1, 2, 3, 4])]


def test_fixed_windows(flow):
    given = [(0.0, "a"), (9.9, "a"), (10.0, "a"), (3.0, "b"), (25, "a"), (29.5, "b")]
    _, out = reduced(flow, given, window=Fixed(10), key="meta.key", lateness=10)
    assert told(out) == [
        ("a", 0.0, 10.0, [0, 1]),
        ("a", 10.0, 20.0, [2]),
        ("a", 20.0, 30.0, [4]),
        ("b", 0.0, 10.0, [3]),
        ("b", 20.0, 30.0, [5]),
    ]


def test_sliding_windows(flow):
    _, out = reduced(flow, [(12.0, "a"), (14.0, "a"), (25.0, "a")], window=Sliding(10, 5), key="meta.key")
    assert told(out) == [
        ("a", 10.0, 20.0, [0, 1]),
        ("a", 20.0, 30.0, [2]),
        ("a", 25.0, 35.0, [2]),
        ("a", 5.0, 15.0, [0, 1]),
    ]


def test_sessions_merge(flow):
    given = [(0.0, "a"), (8.0, "a"), (4.0, "a"), (20.0, "a"), (25.0, "a"), (3.0, "b")]
    _, out = reduced(flow, given, window=Session(5), key="meta.key", lateness=30)
    assert told(out) == [
        ("a", 0.0, 13.0, [0, 2, 1]),
        ("a", 20.0, 25.0, [3]),
        ("a", 25.0, 30.0, [4]),
        ("b", 3.0, 8.0, [5]),
    ]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("window", [Fixed(7), Sliding(9, 4), Session(2.5)], ids=["fixed", "sliding", "session"])
def test_a_reducer_that_crashes_at_any_step_gives_what_an_undisturbed_run_gives(flow, window, before):
    given = [(time, "ab"[time % 3 == 0]) for time in (*range(10), *range(14, 24))]
    expected = None
    for step in itertools.count(-1):
        out = Collected()
        nodes = {"s": source(events(*given)), "r": node(listing(window=window, key="meta.key")), "k": sink(out)}
        made = flow(nodes, ["s > r", "r > k"])
        prepare, crashed = crash_at(step, before=before)
        made.start("r", prepare=prepare)
        made.start_all(but=("r",))
        made.finish()
        expected = expected or told(out)
        assert told(out) == expected, step
        assert sorted(out.ids) == sorted({f"r~0~windows.{n}" for n in range(len(out.ids))})
        made.close()
        if step >= 0 and not crashed.is_set():
            break
    assert step >= 3

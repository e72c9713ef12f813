"""Windows against a model that does it the long way: assignment, merging, closing, what is late."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.runtime import Every, Fixed, Session, Sliding, Window, operator
from interactem.runtime.errors import KernelError
from interactem.runtime.kinds.reduce.gathering import Gathering
from interactem.runtime.kinds.reduce.keys import tagged

times = st.floats(-1e6, 2e9, allow_nan=False)
lengths = st.one_of(st.integers(1, 100_000), st.floats(0.01, 1e5))


@given(times, lengths, st.integers(1, 30))
def test_a_time_is_in_all_windows_of_their_length_that_begin_at_multiples(time, every, overlap):
    size = every * overlap / 3
    found = Sliding(size, every).windows(time)
    assert all(window.start <= time < window.end for window in found)
    numbers = [round(window.start / every) for window in found]
    assert [number * every for number in numbers] == [window.start for window in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    # none is missing: the next ones on both sides do not hold it
    around = math.floor(Fraction(time) / Fraction(every))
    ends = [(n + 1) * every if overlap == 3 else n * every + size for n in range(around - overlap - 2, around + 3)]
    expected = [n for n, end in enumerate(ends, around - overlap - 2) if n * every <= time < end]
    assert numbers == expected


@given(times, lengths)
def test_a_time_is_in_one_fixed_window(time, seconds):
    [window] = Fixed(seconds).windows(time)
    assert window.start <= time < window.end
    assert window.end == pytest.approx(window.start + seconds, rel=1e-12)
    assert Fixed(seconds).windows(window.end)[0].start == window.end


def sessions_by_hand(stamps, gap):
    """The sessions of sorted times: a new one begins where the one before is `gap` or longer ago."""
    found = []
    for number, time in sorted(enumerate(stamps), key=lambda pair: pair[1]):
        if found and time < found[-1][1] + gap:
            found[-1][1] = time
            found[-1][2].append(number)
        else:
            found.append([time, time, [number]])
    return sorted((Window(first, last + gap), sorted(numbers)) for first, last, numbers in found)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60))), st.integers(1, 8))
def test_sessions_merge_as_by_hand_in_any_order(given_messages, gap):
    gathering = Gathering(Session(gap))
    by_key = defaultdict(list)
    for number, (key, time) in enumerate(given_messages):
        gathering.add(number, key, tagged(key), float(time), -math.inf)
        by_key[key].append((number, time))
    found = defaultdict(list)
    for one in gathering:
        found[one.key].append((one.window, sorted(one.messages)))
        assert one.id == min(one.messages)
    for key, pairs in by_key.items():
        expected = sessions_by_hand([time for _, time in pairs], gap)
        renamed = [(window, [pairs[index][0] for index in numbers]) for window, numbers in expected]
        assert sorted(found[key]) == renamed


steps = st.one_of(
    st.tuples(st.just("add"), st.sampled_from("ab"), st.integers(0, 100)),
    st.tuples(st.just("close"), st.integers(0, 120)),
)


@given(st.lists(steps), st.sampled_from([Fixed(7), Sliding(10, 3), Sliding(3, 10), None]))
def test_every_message_is_in_each_of_its_windows_once_or_late(script, windows):
    """The model keeps all messages and asks of each window whether it was closed."""
    gathering, watermark = Gathering(windows), -math.inf
    model, told, late = defaultdict(list), [], []
    for number, (what, *rest) in enumerate(script):
        if what == "close":
            watermark = max(watermark, float(rest[0]))
            found = [(one.key, one.window, list(one.messages)) for one in gathering.due(watermark)]
            expected = sorted(place for place in model if place[1].end <= watermark)
            assert sorted((key, window) for key, window, _ in found) == expected
            assert [window.end for _, window, _ in found] == sorted(window.end for _, window, _ in found)
            for key, window, numbers in found:
                assert numbers == model.pop((key, window))
                told.append((key, window))
            for one in [one for one in gathering if (one.key, one.window) not in model]:
                gathering.close(one)
            continue
        key, time = rest
        mine = [Window()] if windows is None else windows.windows(float(time))
        open_now = [window for window in mine if window.end > watermark]
        for window in open_now:
            model[key, window].append(number)
        if mine and not open_now:
            late.append(number)
        touched = gathering.add(number, key, tagged(key), float(time), watermark)
        assert [one.window for one in touched] == open_now
    assert len(set(told)) == len(told), "no window is told twice"
    assert {(one.key, one.window): one.messages for one in gathering} == dict(model)


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1))
def test_messages_in_several_windows_are_let_go_with_the_last(script):
    gathering, held = Gathering(Sliding(10, 3)), set()
    for number, (time, _) in enumerate(script):
        if gathering.add(number, None, tagged(None), float(time), -math.inf):
            held.add(number)
    for one in list(gathering):
        gone = gathering.close(one)
        assert set(gone) <= held
        held -= set(gone)
        assert held == {number for left in gathering for number in left.messages}
    assert not held


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fixed(0), "Fixed: seconds is a number of seconds above 0, not 0"),
        (lambda: Sliding(10, -1), "Sliding: every"),
        (lambda: Sliding(1e6, 0.001), "make `every` larger"),
        (lambda: Session("a"), "Session: gap"),
        (lambda: Every(), "Every: give count, seconds or both"),
        (lambda: Every(count=0), "a whole number from 1"),
        (lambda: operator.reduce(window=10)(lambda key, messages: None), "window is Fixed"),
        (lambda: operator.reduce(early=10)(lambda key, messages: None), "early is Every"),
        (lambda: operator.reduce(key="scan")(lambda key, messages: None), 'a path such as "meta.scan"'),
        (lambda: operator.reduce(lateness=-1)(lambda key, messages: None), "lateness is a number of seconds from 0"),
        (lambda: operator.reduce(late="")(lambda key, messages: None), 'late is "drop" or'),
        (lambda: operator.reduce()(lambda inputs: None), "unknown argument 'inputs'; a reducer takes key, messages"),
        (lambda: operator.reduce()(lambda key: None), "a reducer takes messages"),
        (
            lambda: operator.reduce(threads=4)(lambda messages: None),
            "threads= does not go with reduce: windows are told",
        ),
        (lambda: operator.reduce(ordered=True)(lambda messages: None), "ordered= does not go with reduce"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(make, words):
    with pytest.raises(KernelError, match=words.replace("(", r"\(")):
        make()

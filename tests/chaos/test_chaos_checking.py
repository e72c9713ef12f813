"""The checker finds what is lost and what is doubled."""

from __future__ import annotations

import numpy as np
import pytest
from chaos.checking import Outcome, Verdict, compare, letters, origin
from chaos.shapes import SHAPES

COUNT = 200
SINK = ("record", "numbers")
LETTER = ("pass", "numbers", 7)


def counts(**changed):
    made = np.ones(COUNT, np.uint8)
    for number, times in changed.items():
        made[int(number[1:])] = times
    return made


def test_what_came_as_it_should():
    expected = Outcome({SINK: counts(n7=0)}, {LETTER: 1})
    assert compare(expected, Outcome({SINK: counts(n7=0)}, {LETTER: 1})) == Verdict(COUNT)


RIGHT = counts(n7=0)
DEAD = {LETTER: 1}
LATER_DEAD = {("record", "numbers", 7): 1}


@pytest.mark.parametrize(
    ("found", "lost", "doubled", "words"),
    [
        (Outcome({SINK: counts(n3=0, n7=0)}, DEAD), 1, 0, "lost at record from numbers: 1 messages: 3"),
        (Outcome({SINK: counts(n3=3, n7=0)}, DEAD), 0, 2, "doubled at record from numbers: 1 messages: 3"),
        (Outcome({SINK: counts(n3=0, n4=2, n7=0)}, DEAD), 1, 1, "lost at record"),
        (Outcome({SINK: RIGHT}), 1, 0, "no dead letter of numbers.7 at pass"),
        (Outcome({SINK: RIGHT}, {LETTER: 2}), 0, 1, "unexpected dead letter of numbers.7 at pass"),
        (Outcome({SINK: counts()}, DEAD), 0, 1, "doubled at record"),
        (Outcome({SINK: RIGHT}, LATER_DEAD), 1, 1, "unexpected dead letter of numbers.7 at record"),
        (Outcome(), COUNT, 0, "lost at record"),
        (Outcome({("other", "x"): counts(), SINK: RIGHT}, DEAD), 0, COUNT, "doubled at other"),
        (Outcome({SINK: np.append(RIGHT, np.uint8(1))}, DEAD), 0, 1, "doubled at record from numbers"),
        (Outcome({SINK: RIGHT[:-1]}, DEAD), 1, 0, f"1 messages: {COUNT - 1}"),
    ],
    ids=[
        "a message",
        "several times",
        "one lost, one doubled",
        "a dead letter",
        "a letter twice",
        "a letter that came too",
        "a letter of another operator",
        "everything",
        "a lane that should not be",
        "more than there are",
        "too few",
    ],
)
def test_what_did_not(found, lost, doubled, words):
    verdict = compare(Outcome({SINK: RIGHT}, DEAD), found)
    assert (verdict.messages, verdict.lost, verdict.doubled) == (COUNT, lost, doubled)
    assert not verdict.good
    assert any(words in example for example in verdict.examples)


def test_wrong_content():
    verdict = compare(Outcome({SINK: counts()}), Outcome({SINK: counts(n3=0)}, wrong=("record.0: 3",)))
    assert (verdict.lost, verdict.wrong, verdict.good) == (1, 1, False)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_shape_would_miss_a_message_and_see_a_second_one(shape):
    expected = shape.expected(COUNT)
    assert expected.messages >= COUNT
    assert compare(expected, expected).good
    for lane, right in expected.lanes.items():
        for change in (-1, 1):
            number = int(np.flatnonzero(right)[-1])
            wrong = right.astype(int)
            wrong[number] = wrong[number] + change
            verdict = compare(expected, Outcome({**expected.lanes, lane: wrong}, expected.dead))
            assert (verdict.lost, verdict.doubled) == ((1, 0) if change < 0 else (0, 1))


def test_dead_letters_as_they_are_listed():
    listed = [{"id": "numbers.7/3.0", "operator": "pass"}, {"id": "a.b.12", "operator": "record"}]
    assert letters(listed) == {LETTER: 1, ("record", "a.b", 12): 1}
    assert origin("frames~1.5/2.0/4.1") == ("frames~1", 5)

"""Sets of numbers, in rows or scattered, are what sets are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interactem.runtime import scattered
from interactem.runtime.scattered import CHUNK, Numbers


@pytest.fixture(autouse=True)
def soon_scattered(monkeypatch):
    monkeypatch.setattr(scattered, "MOST_INTERVALS", 3)


places = st.one_of(st.integers(0, 100), st.integers(CHUNK - 10, CHUNK + 10), st.integers(0, 4 * CHUNK))
lengths = st.sampled_from([1, 1, 1, 2, 50, CHUNK + 1])
steps = st.lists(st.tuples(st.sampled_from(["add", "add", "add", "add", "fill"]), places, lengths), max_size=40)


@settings(deadline=None)
@given(steps, st.lists(st.tuples(places, lengths), min_size=1, max_size=20))
def test_like_a_set(steps, looks):
    numbers, plain = Numbers(), set()
    for step, start, length in steps:
        if step == "fill":
            numbers.fill(start)
            plain |= set(range(start))
        else:
            numbers.add(start, start + length)
            plain |= set(range(start, start + length))
    again = Numbers(numbers.rows, {chunk: bytes(bits) for chunk, bits in numbers.bits.items()})
    for start, length in looks:
        assert (start in numbers) == (start in again) == (start in plain)
        wanted = not plain.isdisjoint(range(start, start + length))
        assert numbers.touches(start, start + length) == again.touches(start, start + length) == wanted
    whole = bool(plain) and plain == set(range(max(plain) + 1))
    assert (numbers.first_gap in (len(plain), -1)) if whole else numbers.first_gap == -1


def test_chunks_that_fill_up_are_rows_again():
    numbers = Numbers()
    for number in [*range(0, 3 * CHUNK, 2), *range(1, 3 * CHUNK, 2)]:
        numbers.add(number, number + 1)
    assert not numbers.bits
    assert numbers.first_gap == 3 * CHUNK
    assert (len(numbers), numbers.weight) == (1, 10)

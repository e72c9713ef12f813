from __future__ import annotations

import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.runtime.applied import AppliedIds
from interactem.runtime.ids import Run, file, partition, runs_of
from interactem.runtime.scattered import Intervals

small = st.integers(0, 60)


@given(st.lists(st.tuples(small, st.integers(1, 10)), max_size=30), small, st.integers(1, 20))
def test_intervals_are_a_set_of_integers(additions, start, length):
    intervals, plain = Intervals(), set()
    for first, count in additions:
        intervals.add(first, first + count)
        plain |= set(range(first, first + count))
    assert {n for n in range(100) if n in intervals} == plain
    assert intervals.touches(start, start + length) == bool(plain & set(range(start, start + length)))
    assert all(begin < stop for begin, stop in zip(intervals.starts, intervals.stops, strict=True))
    gaps = zip(intervals.stops, intervals.starts[1:], strict=False)
    assert all(stop < begin for stop, begin in gaps), "sorted, disjoint and not adjacent"
    assert len(intervals) == sum(1 for n in plain if n - 1 not in plain)


def a_run(message_ids: list[str]) -> Run:
    [run] = runs_of(*zip(*map(file, message_ids), strict=True))
    return run


sources = st.sampled_from(["s", "s~1", "t"])
tails = st.sampled_from(["", "/1", "/1.0", "/1.7", "/2.0/3.12"])
entries = st.tuples(st.integers(0, 2), st.builds(lambda s, n, t: f"{s}.{n}{t}", sources, st.integers(0, 15), tails))
odd = st.tuples(st.integers(0, 2), st.text(max_size=6))


def position(message_id):
    source, _, number = message_id.split("/")[0].rpartition(".")
    return source, int(number)


@given(st.lists(st.one_of(entries, odd), max_size=60), st.lists(st.one_of(entries, odd), max_size=30))
def test_applied_ids_are_a_set_of_ids(added, asked):
    applied = AppliedIds()
    for edge, message_id in added:
        applied.add(edge, *file(message_id))
    for edge, message_id in [*added, *asked]:
        assert applied.seen(edge, *file(message_id)) == ((edge, message_id) in set(added))
    again = AppliedIds.from_value(applied.to_value())
    assert all(again.seen(edge, *file(i)) == applied.seen(edge, *file(i)) for edge, i in [*added, *asked])


@given(
    st.lists(st.one_of(entries, st.tuples(sources, st.integers(0, 20))), max_size=40),
    st.lists(entries, min_size=1, max_size=30),
)
def test_below_a_watermark_everything_counts_and_nothing_is_kept(steps, asked):
    applied, plain, watermarks = AppliedIds(), set(), {}
    for step in steps:
        if isinstance(step[0], int):
            applied.add(step[0], *file(step[1]))
            plain.add(step)
        else:
            source, watermark = step
            applied.forget(source, watermark)
            watermarks[source] = max(watermark, watermarks.get(source, 0))
    for edge, message_id in asked:
        source, number = position(message_id)
        expected = (edge, message_id) in plain or number < watermarks.get(source, 0)
        assert applied.seen(edge, *file(message_id)) == expected
    for source in ("s", "s~1", "t"):
        applied.forget(source, 1000)
    assert len(applied) == 0


@given(st.integers(0, 1000), st.integers(1, 50), st.integers(0, 1100), st.integers(1, 50))
def test_a_run_is_new_unless_any_of_it_was_seen(first, length, second, more):
    applied = AppliedIds()
    run = a_run([f"s.{n}/1.0" for n in range(first, first + length)])
    assert applied.is_new(0, run)
    applied.add_run(0, run)
    other = a_run([f"s.{n}/1.0" for n in range(second, second + more)])
    overlap = set(range(first, first + length)) & set(range(second, second + more))
    if other.series == run.series:
        assert applied.is_new(0, other) == (not overlap)
    assert all(applied.seen(0, *file(f"s.{n}/1.0")) for n in range(first, first + length))
    assert applied.is_new(1, run), "another edge is another matter"


def test_part_of_a_run_is_added():
    applied = AppliedIds()
    run = a_run([f"s.{n}" for n in range(10, 20)])
    applied.add_run(0, Run(run.series, 12, 3))
    assert [n for n in range(30) if applied.seen(0, *file(f"s.{n}"))] == [12, 13, 14]
    assert len(applied) == 1


def test_a_stream_worked_through_is_one_interval_however_it_came_about():
    for name in ("s.{}", "s.{}/1.0", "s.0/1.{}", "s.0/1.{}/2.0", "s.3/1.{}/2.0/4.1"):
        applied = AppliedIds()
        for number in range(10_000):
            applied.add(0, *file(name.format(number)))
        assert len(applied) <= 5


def test_a_partition_worked_through_is_one_interval_too():
    for partitions in (2, 3):
        for part in range(partitions):
            applied = AppliedIds({0: partitions})
            own = [f"s.{n}" for n in range(6_000) if partition(*file(f"s.{n}"), partitions) == part]
            for message_id in own:
                applied.add(0, *file(message_id))
            assert len(applied) == 1
            assert all(applied.seen(0, *file(message_id)) for message_id in own)
            assert 2_000 - 1 <= len(own) <= 3_000


def test_both_numbers_growing_stay_few():
    applied = AppliedIds()
    for number in range(100):
        for index in range(100):
            applied.add(0, *file(f"s.{number}/1.{index}"))
    assert len(applied) <= 200


def test_scattered_ids_take_a_bit_each_and_are_forgotten():
    applied, chance = AppliedIds(), random.Random(3)
    own = [n for n in range(200_000) if chance.random() < 0.3]
    for number in own:
        applied.add(1, *file(f"s.{number}/2.0"))
    assert applied.weight < 200_000 / 8 * 1.1 + 10_000
    assert len(applied) < 200
    packed = msgpack.packb(applied.to_value())
    assert len(packed) < 40_000  # as intervals they would take 400 kB
    again = AppliedIds.from_value(msgpack.unpackb(packed, strict_map_key=False))
    members = set(own)
    for number in range(200_000):
        assert again.seen(1, *file(f"s.{number}/2.0")) == (number in members)
    again.forget("s", 150_000)
    assert len(again) < len(applied) / 2
    assert all(again.seen(1, *file(f"s.{number}/2.0")) for number in range(150_000))
    assert not again.seen(1, *file(f"s.{max(own) + 1}/2.0"))
    again.forget("s", 200_000)
    assert len(again) == 0


@pytest.mark.parametrize("bits", [{0: b""}, {-1: bytes(512)}, {"0": bytes(512)}, {0: [1]}, [], {0: bytes(511)}])
def test_bits_that_are_none(bits):
    with pytest.raises((ValueError, TypeError)):
        AppliedIds.from_value([{}, [[1, "s.", "", [0], [1], bits]]])

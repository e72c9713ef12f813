from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.runtime import ids

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)
numbers = st.integers(0, 10**7)
steps = st.lists(st.tuples(st.integers(0, 30), numbers), max_size=4)
message_ids = st.builds(
    lambda name, replica, position, steps: ids.text(
        *_id(ids.source_id(ids.source_name(name, replica), position), steps)
    ),
    names,
    st.integers(0, 3),
    numbers,
    steps,
)


def _id(begun, steps):
    for edge, index in steps:
        begun = ids.output_id(*begun, edge, index)
    return begun


def test_they_read_as_the_documentation_says():
    assert ids.text(*ids.source_id(ids.source_name("frames", 0), 17)) == "frames.17"
    assert ids.text(*ids.source_id(ids.source_name("frames", 1), 17, 1)) == "frames~1.17/1"
    assert ids.text(*ids.source_id(ids.source_name("frames", 0, 2), 17)) == "frames~0~2.17"
    assert ids.text(*ids.source_id(ids.finish_name("count", 0), 1)) == "count~0~end.1"
    assert ids.text(*ids.output_id(*ids.output_id(*ids.file("frames.17"), 2, 0), 5, 3)) == "frames.17/2.0/5.3"


@pytest.mark.parametrize(
    ("message_id", "filed"),
    [
        ("s.17", ("s.", 17, "")),
        ("s.17/3", ("s.", 17, "/3")),
        ("s.2/3", ("s.2/", 3, "")),
        ("s.17/2.0/5.3", ("s.", 17, "/2.0/5.3")),
        ("s.0/2.900/5.3", ("s.0/2.", 900, "/5.3")),
        ("s.5/9.5", ("s.", 5, "/9.5")),
        ("a.b~1.7", ("a.b~1.", 7, "")),
        ("unreadable-17", ("unreadable-17", -1, "")),
        ("", ("", -1, "")),
        ("7", ("7", -1, "")),
        ("s.07", ("s.07", -1, "")),
        ("s.1_0", ("s.1_0", -1, "")),
        ("s.x/1.0", ("s.x/1.0", -1, "")),
        ("s.1/", ("s.1/", -1, "")),
    ],
)
def test_an_id_is_filed_under_its_largest_number(message_id, filed):
    series, number = ids.file(message_id)
    assert (series.prefix, number, series.suffix) == filed
    assert ids.text(series, number) == message_id


@given(
    st.one_of(message_ids, st.text(max_size=30), st.from_regex(r"s(\.[0-9]{1,20}|/[0-9]{1,3}){1,4}", fullmatch=True))
)
def test_what_is_filed_can_be_put_together_again(message_id):
    assert ids.text(*ids.file(message_id)) == message_id


@given(names, numbers, steps)
def test_an_id_is_made_where_it_is_filed(name, position, steps):
    made = ids.source_id(name, position)
    for edge, index in steps:
        made = ids.output_id(*made, edge, index)
        assert made == ids.file(ids.text(*made))
    for index in (0, 1, position, position + 1):
        made = ids.source_id(name, position, index)
        assert made == ids.file(ids.text(*made))


@given(st.text(max_size=9), st.integers(0, 3), st.integers(0, 3))
def test_what_is_made_from_other_text_is_filed_too(text, edge, index):
    made = ids.output_id(*ids.file(text), edge, index)
    assert ids.text(*made) == f"{text}/{edge}.{index}"
    assert made == ids.file(ids.text(*made))


@given(st.text(max_size=30), st.text(max_size=30))
def test_different_texts_are_filed_in_different_places(one, other):
    assert (ids.file(one) == ids.file(other)) == (one == other)


def runs_of(message_ids):
    return ids.runs_of(*zip(*map(ids.file, message_ids), strict=True))


@given(message_ids, st.integers(1, 50))
def test_a_run_is_found(message_id, count):
    series, number = ids.file(message_id)
    run = [f"{series.prefix}{n}{series.suffix}" for n in range(number, number + count)]
    assert runs_of(run) == [(series, number, count)]
    assert [ids.text(*one) for one in ids.Run(series, number, count).ids()] == run
    assert runs_of([*run, message_id]) == [(series, number, count), (series, number, 1)]
    assert ids.runs_of([], []) == []


@given(st.lists(st.one_of(message_ids, st.sampled_from(["s.", "s.0", "s.1", "s.2", "7", "70", "71"])), min_size=1))
def test_runs_are_their_ids_in_their_order(message_ids):
    runs = runs_of(message_ids)
    assert [ids.text(*one) for run in runs for one in run.ids()] == message_ids
    assert all(ids.file(ids.text(*one)) == one for run in runs for one in run.ids())


@given(message_ids)
def test_the_origin_is_the_source_and_its_position(message_id):
    series, number = ids.file(message_id)
    source, position = ids.origin(series)
    position = number if position is None else position
    assert message_id.split("/")[0] == f"{source}.{position}"


@given(message_ids, st.integers(1, 7), st.integers(0, 100))
def test_of_consecutive_numbers_each_partition_gets_exactly_one(message_id, partitions, group):
    (prefix, suffix, _), _ = ids.file(message_id)
    if not suffix and not prefix.count("/"):
        members = [f"{prefix}{group * partitions + n}{suffix}" for n in range(partitions)]
        assert sorted(ids.partition(*ids.file(member), partitions) for member in members) == list(range(partitions))


@given(message_ids, st.integers(1, 4), st.integers(1, 4))
def test_a_partition_of_more_says_the_partition_of_fewer(message_id, few, times):
    assert 0 <= ids.partition(*ids.file(message_id), few * times) < few * times
    assert ids.partition(*ids.file(message_id), 1) == 0


def test_no_rhythm_of_numbers_fills_one_partition_alone():
    for stride in (1, 2, 3, 4, 6):
        taken = [ids.partition(*ids.file(f"s.{n}"), 2) for n in range(0, 1000, stride)]
        assert 0.35 < sum(taken) / len(taken) < 0.65

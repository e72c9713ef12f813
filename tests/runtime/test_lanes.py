"""Lanes: what a sender decides of a message is what its readers' consumers are filtered by."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interactem.runtime import BytesMessage, MessageHeader
from interactem.runtime.assignment import Assignment, Output
from interactem.runtime.errors import EdgeKeyError
from interactem.runtime.ids import series_of
from interactem.runtime.outbox import Outbox
from interactem.runtime.packing import Packing
from interactem.runtime.routing import Route, Routing, canonical, hash_of, holds, matches

TAGS = ("a", "b", "c")
tags = st.lists(st.sampled_from(TAGS), unique=True, max_size=3).map(tuple)
some_tags = st.lists(st.sampled_from(TAGS), unique=True, min_size=1, max_size=2).map(tuple)
rules = st.lists(st.tuples(st.sampled_from(["any", "all", "none"]), some_tags), max_size=2).map(tuple)
keys = st.sampled_from([(), (), ("x",), ("y",), ("deep", "z")])
edges = st.lists(st.tuples(rules, keys, st.integers(1, 3)), min_size=1, max_size=5)


def output(edges):
    by_id = 6 if any(not key for _, key, _ in edges) else 1
    routes = tuple(Route(n, f"edge {n}", when, key) for n, (when, key, _) in enumerate(edges) if when or key)
    counts = tuple(count for _, _, count in edges)
    return Output("out", 0, by_id, tuple(range(len(edges))), (1,), counts, routes=routes)


@settings(deadline=None)
@given(edges, tags, st.integers(0, 5), st.integers(0, 50), st.integers(0, 50))
def test_whoever_wants_a_message_reads_its_lane_in_one_partition(edges, tags, part, x, y):
    made = output(edges)
    routing = Routing(made)
    part %= made.partitions
    message = BytesMessage(MessageHeader(meta={"x": x, "y": y, "deep": {"z": str(x)}}), tags=tags)
    values = {("x",): x, ("y",): y, ("deep", "z"): str(x)}
    wanted = {}
    for number, (when, key, count) in enumerate(edges):
        if holds(when, tags):
            wanted[number] = (hash_of(canonical(values[key])) if key else part) % count
    code = 0 if routing.plain else routing.code(message)
    assert (code >= 0) == bool(wanted)
    if code >= 0:
        lane = routing.lane(part, code)
        assert dict(routing.readers(part, code)) == wanted
        reading = {
            number: [n for n in range(count) for one in routing.filters(number, n, count) if matches(one, lane)]
            for number, (_, _, count) in enumerate(edges)
        }
        assert {number: found for number, found in reading.items() if found} == {n: [p] for n, p in wanted.items()}


@pytest.mark.parametrize(
    ("rules", "tags", "expected"),
    [
        ((("any", ("a", "b")),), ("b",), True),
        ((("any", ("a", "b")),), (), False),
        ((("all", ("a", "b")),), ("a",), False),
        ((("all", ("a", "b")),), ("a", "b", "c"), True),
        ((("none", ("a",)),), (), True),
        ((("none", ("a", "b")),), ("b", "c"), False),
        ((("any", ("a",)), ("none", ("b",))), ("a", "b"), False),
        ((), ("a",), True),
    ],
)
def test_rules(rules, tags, expected):
    assert holds(rules, tags) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"0"),
        ("a", b"ta"),
        (b"a", b"ba"),
        (bytearray(b"a"), b"ba"),
        (17, b"n17"),
        (17.0, b"n17"),
        (True, b"n1"),
        (False, b"n0"),
        (-0.0, b"n0"),
        (0.5, b"f0.5"),
        (float("-inf"), b"f-inf"),
        (-float("nan"), b"fnan"),
        ("\ud800", b"t\xed\xa0\x80"),
    ],
)
def test_canonical_keys(value, expected):
    assert canonical(value) == expected


def test_the_hash_of_a_key_is_the_same_everywhere():
    assert hash_of(b"n17") == 0x20AF4260990C4ECE
    assert hash_of(b"tnorth") == 0xC68B11115E707949


simple = st.one_of(st.none(), st.text(max_size=3), st.binary(max_size=3), st.booleans(), st.integers(), st.floats())


@given(simple, simple)
def test_keys_are_equal_where_python_says_so(one, other):
    if one == one and other == other:  # not NaN
        assert (canonical(one) == canonical(other)) == (one == other)


@pytest.mark.parametrize("value", [[], {}, object(), (1,), {1}])
def test_what_is_no_key(value):
    with pytest.raises(TypeError):
        canonical(value)


def test_numbers_in_a_row_are_spread_over_all_partitions():
    for ways in (2, 3, 4, 7):
        counts = [0] * ways
        for number in range(1000):
            counts[hash_of(canonical(number)) % ways] += 1
        assert min(counts) > 0.8 * 1000 / ways


def test_many_values_are_not_all_remembered(monkeypatch):
    monkeypatch.setattr("interactem.runtime.routing.REMEMBERED", 10)
    routing = Routing(output([((("any", ("t0", "t5")),), ("x",), 2), ((), ("y",), 3)]))
    for number in range(100):
        made = BytesMessage(MessageHeader(meta={"x": number, "y": number}), tags=[f"t{number}"])
        code = routing.code(made)
        x = hash_of(canonical(number)) % 2 if number in (0, 5) else 0
        expected = f"0.{x}.{hash_of(canonical(number)) % 3}.{int(number in (0, 5))}"
        assert routing.lane(0, code) == expected
    assert len(routing._known) <= 10
    assert all(len(key._known) <= 10 for key in routing._keys)


def test_a_message_without_its_key_says_what_it_has():
    routing = Routing(output([((), ("deep", "z"), 2), ((), ("deep", "z"), 3)]))
    with pytest.raises(
        EdgeKeyError, match=r"meta\.deep\.z, by which the pipeline divides edge 0, edge 1: there is no 'z'"
    ):
        routing.code(BytesMessage(MessageHeader(meta={"deep": {"y": 1}})))
    with pytest.raises(EdgeKeyError, match="a int stands where 'z' should be looked for"):
        routing.code(BytesMessage(MessageHeader(meta={"deep": 1})))


@settings(deadline=None)
@given(
    edges, st.lists(st.booleans(), min_size=5, max_size=5), st.lists(st.tuples(tags, st.integers(0, 9)), max_size=40)
)
def test_who_reads_in_order_is_sent_all_in_order(edges, in_order, sent):
    made = replace(output(edges), ordered=tuple(n for n in range(len(edges)) if in_order[n]))
    box = Outbox(Assignment("r", 0, "s", outputs=(made,)))
    packing = Packing(Assignment("r", 0, "s", outputs=(made,)), box)
    packed = []
    for number, (chosen, x) in enumerate(sent):
        meta = {"x": x, "y": x // 2, "deep": {"z": str(x % 3)}}
        packing.pack_into(packed, BytesMessage(MessageHeader(meta=meta), tags=chosen), series_of("s.", ""), number)
    read = defaultdict(list)
    lanes = set()
    for (address, part), group in box._lanes(packed):
        lanes.add((address, part))
        for reader in box.routings[0].readers(part, address):
            read[reader] += [one[1] for one in group]
    for reader, numbers in read.items():
        if reader.edge in made.ordered:
            assert numbers == sorted(numbers)
    if not made.ordered:
        assert len(box._lanes(packed)) == len(lanes)

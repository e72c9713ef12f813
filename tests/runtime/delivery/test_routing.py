"""What edges say of messages: which they take, and to which replica each goes."""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest
from delivery_harness import Collected, message, node, numbers, sink, source

from interactem.runtime import operator
from interactem.runtime.routing import canonical, hash_of
from interactem.runtime.sources import SourceError


def rows(values, **tags):
    """A source of a message for each value, with `meta.k` and its index as data; `tags` name functions of the value."""

    @operator
    def source(inputs, parameters):
        for index, value in enumerate(values):
            made = message(str(index).encode(), k=value)
            yield made.to("out", tags=[tag for tag, wanted in tags.items() if wanted(value)])

    return source


class Seen:
    """A kernel that passes on what it gets and remembers which replica got it, in order."""

    def __init__(self):
        self.by_replica = defaultdict(list)
        self.lock = threading.Lock()

        @operator
        def kernel(inputs, parameters, context):
            with self.lock:
                self.by_replica[context.replica].append((inputs.meta["k"], int(inputs.data)))
            return inputs

        self.kernel = kernel

    @property
    def replicas_of(self):
        found = defaultdict(set)
        for replica, seen in self.by_replica.items():
            for key, _ in seen:
                found[key].add(replica)
        return found

    def of_key(self, key):
        return [number for seen in self.by_replica.values() for k, number in seen if k == key]


def replica_of(key, replicas):
    return hash_of(canonical(key)) % replicas


def even(value):
    return value % 2 == 0


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"any": ["even", "never"]}, lambda n: n % 2 == 0),
        ({"all": ["even", "third"]}, lambda n: n % 6 == 0),
        ({"none": ["even", "third"]}, lambda n: n % 2 and n % 3),
        ({"any": ["even"], "none": ["third"]}, lambda n: n % 2 == 0 and n % 3),
    ],
)
def test_an_edge_takes_the_messages_that_it_wants(flow, rules, expected):
    kept = Collected()
    made = flow(
        {"s": source(rows(range(50), even=even, third=lambda n: n % 3 == 0)), "sink": sink(kept)},
        [("s > sink", {"when": {"tags": rules}})],
    ).run()
    assert kept.ints == [n for n in range(50) if expected(n)]
    wanted = len(kept.ints)
    assert (made.counts("s")["sent"], made.counts("s")["unwanted"]) == (wanted, 50 - wanted)
    assert made.counts("sink")["received"] == wanted


def test_edges_of_one_port_choose_for_themselves_and_by_different_keys(flow):
    evens, every, odd = Collected(), Collected(), Collected()
    by_key, by_parity = Seen(), Seen()
    flow(
        {
            "s": source(rows(range(60), even=even)),
            "a": node(by_key.kernel, replicas=3),
            "b": node(by_parity.kernel, replicas=2),
            "evens": sink(evens, replicas=2),
            "every": sink(every),
            "odd": sink(odd, replicas=3),
        },
        [
            ("s > a", {"key": "meta.k", "when": {"tags": {"any": ["even"]}}}),
            ("s > b", {"key": "meta.k"}),
            ("s > odd", {"when": {"tags": {"none": ["even"]}}}),
            ("a > evens", {"key": "meta.k"}),
            "b > every",
        ],
    ).run()
    assert sorted(evens.ints) == list(range(0, 60, 2))
    assert sorted(every.ints) == list(range(60))
    assert sorted(odd.ints) == list(range(1, 60, 2))
    assert {key: {replica_of(key, 3)} for key in range(0, 60, 2)} == by_key.replicas_of
    assert {key: {replica_of(key, 2)} for key in range(60)} == by_parity.replicas_of


def test_equal_keys_come_to_one_replica_in_their_order(flow):
    seen, kept = Seen(), Collected()
    values = [n % 7 for n in range(700)]
    flow(
        {"s": source(rows(values)), "a": node(seen.kernel, replicas=3), "sink": sink(kept)},
        [("s > a", {"key": "meta.k"}), "a > sink"],
    ).run()
    assert {key: {replica_of(key, 3)} for key in range(7)} == seen.replicas_of
    for key in range(7):
        assert seen.of_key(key) == list(range(key, 700, 7))
    assert sorted(kept.ints) == list(range(700))


def test_keys_of_every_kind(flow):
    seen = Seen()
    values = ["a", b"a", 1, 1.0, True, "1", 1.5, None, "", 2**60, -3, float("inf"), float("nan"), "Ä" * 100]
    flow(
        {"s": source(rows(values)), "a": node(seen.kernel, replicas=2), "sink": sink(Collected())},
        [("s > a", {"key": "meta.k"}), "a > sink"],
    ).run()
    assert sorted(number for got in seen.by_replica.values() for _, number in got) == list(range(len(values)))
    assert seen.replicas_of[1] == {replica_of(1.0, 2)} == {replica_of(True, 2)}


def test_a_key_may_lie_deep_and_numpys_numbers_are_numbers(flow):
    import numpy as np

    seen = Seen()

    @operator
    def deep(inputs, parameters):
        for n in range(20):
            yield message(str(n).encode(), k=n % 4, a={"b": {"c": np.int64(n % 4)}})

    flow(
        {"s": source(deep), "a": node(seen.kernel, replicas=2), "sink": sink(Collected())},
        [("s > a", {"key": "meta.a.b.c"}), "a > sink"],
    ).run()
    assert {key: {replica_of(key, 2)} for key in range(4)} == seen.replicas_of


def test_what_is_passed_on_unread_keeps_its_tags_and_is_divided_too(flow):
    seen, kept = Seen(), Collected()

    @operator
    def untouched(inputs, parameters):
        return inputs

    flow(
        {"s": source(rows(range(30), even=even)), "pass": node(untouched), "a": node(seen.kernel, replicas=2),
         "sink": sink(kept)},
        ["s > pass", ("pass > a", {"key": "meta.k"}), ("a > sink", {"when": {"tags": {"any": ["even"]}}})],
    ).run()  # fmt: skip
    assert sorted(kept.ints) == list(range(0, 30, 2))
    assert {m.tags for m in kept.messages} == {("even",)}
    assert {key: {replica_of(key, 2)} for key in range(30)} == seen.replicas_of


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({"other": 1}, "there is no 'k', but other"),
        ({}, "there is no 'k', but nothing"),
        ({"k": [1, 2]}, "a list is no key"),
        ({"k": {"a": 1}}, "a dict is no key"),
        (b"bytes", "a bytes stands where 'k' should be looked for"),
    ],
)
def test_a_message_without_a_key_fails_where_it_is_sent(flow, meta, told):
    kept = Collected()

    @operator
    def maker(inputs, parameters):
        made = message(inputs.data, k=int(inputs.data))
        if inputs.data == b"3":
            made.header.meta = meta
        return made

    made = flow(
        {"s": source(numbers(6)), "make": node(maker, max_attempts=2), "sink": sink(kept, replicas=2)},
        ["s > make", ("make > sink", {"key": "meta.k"})],
    ).run()
    assert sorted(kept.ints) == [0, 1, 2, 4, 5]
    [dead] = made.dead()
    assert (dead.message.id, dead.attempts, dead.about["operator"]) == ("s.3", 2, "make")
    assert "EdgeKeyError: the message has no key meta.k, by which the pipeline divides make > sink" in dead.error
    assert told in dead.error


def test_who_does_not_take_a_message_needs_no_key_of_it(flow):
    kept = Collected()
    made = flow(
        {"s": source(rows([[], 1, [], 2], good=lambda v: v != [])), "sink": sink(kept)},
        [("s > sink", {"key": "meta.k", "when": {"tags": {"any": ["good"]}}})],
    ).run()
    assert kept.ints == [1, 3]
    assert made.dead() == []


def test_a_source_that_sends_no_key_ends_the_run(flow):
    kept = Collected()
    made = flow(
        {"s": source(rows([1, 2, [3], 4]), max_attempts=2), "sink": sink(kept)}, [("s > sink", {"key": "meta.k"})]
    )
    with pytest.raises(SourceError, match=r"failed 2 times in a row: EdgeKeyError.*a list is no key"):
        made.run()


def test_large_messages_are_divided_too(flow):
    kept, evens = Collected(), Collected()

    @operator
    def large(inputs, parameters):
        for n in range(8):
            yield message(bytes([n]) * 300_000, k=n).to("out", tags=["even"] if n % 2 == 0 else [])

    made = flow(
        {"s": source(large), "all": sink(kept, replicas=2), "evens": sink(evens)},
        [("s > all", {"key": "meta.k"}), ("s > evens", {"when": {"tags": {"any": ["even"]}}})],
        max_payload=100_000,
    ).run()
    assert sorted((m.data[0], len(m.data)) for m in kept.messages) == [(n, 300_000) for n in range(8)]
    assert [(m.data[0], m.tags) for m in evens.messages] == [(n, ("even",)) for n in range(0, 8, 2)]
    assert made.backend.blobs() == 0  # none was kept for an edge that does not take it


def test_what_failed_comes_again_to_its_replica(flow):
    failed, seen = set(), defaultdict(set)
    lock = threading.Lock()

    @operator
    def flaky(inputs, parameters, context):
        key = inputs.meta["k"]
        with lock:
            seen[key].add(context.replica)
            first = inputs.id not in failed
            failed.add(inputs.id)
        if first and int(inputs.data) % 3 == 0:
            raise ValueError("once")
        if key == 4:
            raise ValueError("always")
        return inputs

    kept = Collected()
    made = flow(
        {"s": source(rows([n % 5 for n in range(60)], third=lambda n: True)),
         "a": node(flaky, replicas=3, max_attempts=3), "sink": sink(kept)},
        [("s > a", {"key": "meta.k"}), "a > sink"],
    ).run()  # fmt: skip
    assert sorted(kept.ints) == [n for n in range(60) if n % 5 != 4]
    assert {key: {replica_of(key, 3)} for key in range(5)} == seen
    dead = made.dead()
    assert len(dead) == 12
    assert {one.about["partition"] for one in dead} == {replica_of(4, 3)}
    assert {one.message.tags for one in dead} == {("third",)}
    assert {m.tags for m in kept.messages} == {("third",)}


def test_each_replica_has_state_of_its_own_keys(flow):
    kept = Collected()

    @operator
    def count(inputs, parameters, context):
        key = inputs.meta["k"]
        context.state[key] = context.state.get(key, 0) + 1
        return message(b"%d %d" % (key, context.state[key]))

    flow(
        {"s": source(rows([n % 5 for n in range(100)])), "count": node(count, replicas=2), "sink": sink(kept)},
        [("s > count", {"key": "meta.k"}), "count > sink"],
    ).run()
    assert sorted(kept.data) == sorted(b"%d %d" % (key, n) for key in range(5) for n in range(1, 21))


def test_results_of_an_ordered_kernel_keep_the_order_of_each_key_when_messages_fail(flow):
    failed = set()
    lock = threading.Lock()

    @operator(ordered=True)
    def flaky(inputs, parameters, context):
        with lock:
            first = inputs.id not in failed
            failed.add(inputs.id)
        if first and int(inputs.data) % 7 == 0:
            raise ValueError("once")
        return inputs

    kept = Collected()
    flow(
        {"s": source(rows([n % 4 for n in range(60)])), "a": node(flaky, replicas=2), "sink": sink(kept)},
        [("s > a", {"key": "meta.k"}), "a > sink"],
    ).run()
    for key in range(4):
        assert [number for number in kept.ints if number % 4 == key] == list(range(key, 60, 4))


def test_of_messages_that_wait_together_only_the_one_without_a_key_fails(flow):
    kept = Collected()

    @operator.batch(max_size=10)
    def label(inputs, parameters):
        return [message(one.data, **({} if one.data == b"5" else {"k": int(one.data) % 3})) for one in inputs]

    made = flow(
        {"s": source(numbers(20)), "label": node(label, max_attempts=2), "sink": sink(kept, replicas=2)},
        ["s > label", ("label > sink", {"key": "meta.k"})],
    ).run()
    assert sorted(kept.ints) == [n for n in range(20) if n != 5]
    assert [(one.message.id, one.error.split(":")[0]) for one in made.dead()] == [("s.5", "EdgeKeyError")]


def test_a_reducer_in_replicas_has_each_key_once(flow):
    kept = Collected()

    @operator.reduce(key="meta.k")
    def count(key, messages, window):
        return message(b"%d %d" % (key, sum(1 for _ in messages)))

    flow(
        {"s": source(rows([n % 10 for n in range(200)])), "count": node(count, replicas=3), "sink": sink(kept)},
        [("s > count", {"key": "meta.k"}), "count > sink"],
    ).run()
    assert sorted(kept.data) == [b"%d 20" % key for key in range(10)]

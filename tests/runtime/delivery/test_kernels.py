"""Every form of kernel gets its messages, and its results get on."""

from __future__ import annotations

import asyncio

import pytest
from delivery_harness import Collected, message, node, numbers, sink, source

from interactem.runtime import BytesMessage, operator


@operator
def double(inputs, parameters):
    return message(str(2 * int(inputs.data)).encode())


@operator
async def double_later(inputs, parameters):
    await asyncio.sleep(0)
    return message(str(2 * int(inputs.data)).encode())


@operator
def double_and_one(inputs, parameters):
    yield message(str(2 * int(inputs.data)).encode())
    yield message(str(2 * int(inputs.data) + 1).encode())


@operator
async def double_and_one_later(inputs, parameters):
    yield message(str(2 * int(inputs.data)).encode())
    await asyncio.sleep(0)
    yield message(str(2 * int(inputs.data) + 1).encode())


@operator
def double_and_one_as_list(inputs, parameters):
    return [message(str(2 * int(inputs.data) + n).encode()) for n in range(2)]


@operator
def odd(inputs, parameters):
    return inputs if int(inputs.data) % 2 else None


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (double, range(0, 20, 2)),
        (double_later, range(0, 20, 2)),
        (double_and_one, range(20)),
        (double_and_one_later, range(20)),
        (double_and_one_as_list, range(20)),
        (odd, range(1, 10, 2)),
    ],
)
def test_a_kernel_of_any_form_maps_messages_in_their_order(flow, kernel, expected):
    out = Collected()
    flow({"s": source(numbers(10)), "m": node(kernel), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert out.ints == list(expected)


def test_ids_say_where_a_message_comes_from(flow):
    out = Collected()
    flow({"s": source(numbers(2)), "m": node(double_and_one), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert out.ids == ["s.0/0.0", "s.0/0.1", "s.1/0.0", "s.1/0.1"]


def test_meta_tracking_and_port_reach_the_kernel(flow):
    @operator
    def tracked(inputs, parameters):
        first = message(b"x", a=1, b=[1, {"c": b"d"}])
        first.header.tracking = {"way": 1}
        yield first

    @operator
    def forward(inputs, parameters):
        return message(b"y", was=inputs.meta)

    out = Collected()
    flow({"s": source(tracked), "m": node(forward), "k": sink(out)}, ["s > m", "m > k.other"]).run()
    [last] = out.messages
    assert last.meta == {"was": {"a": 1, "b": [1, {"c": b"d"}]}}
    assert last.header.tracking == {"way": 1}
    assert last.port == "other"


def test_meta_may_be_bytes(flow):
    @operator
    def one(inputs, parameters):
        m = BytesMessage(data=b"1")
        m.header.meta = b"raw"
        yield m

    out = Collected()
    flow({"s": source(one), "k": sink(out)}, ["s > k"]).run()
    assert out.messages[0].header.meta == b"raw"


def test_fan_out_fan_in_and_a_diamond(flow):
    out = Collected()
    nodes = {"s": source(numbers(5)), "a": node(double), "b": node(odd), "k": sink(out)}
    flow(nodes, ["s > a", "s > b", "a > k.x", "b > k.y"]).run()
    assert sorted((m.port, int(m.data)) for m in out.messages) == [
        *(("x", 2 * n) for n in range(5)),
        *(("y", n) for n in (1, 3)),
    ]
    assert len(set(out.ids)) == 7


def test_two_edges_from_one_port_into_one_operator_are_two_messages(flow):
    out = Collected()
    flow({"s": source(numbers(3)), "k": sink(out)}, ["s > k.x", "s > k.y"]).run()
    assert sorted((m.port, int(m.data)) for m in out.messages) == [(p, n) for p in "xy" for n in range(3)]


def test_a_message_goes_to_every_port_or_to_the_one_it_names(flow):
    @operator
    def sort(inputs, parameters):
        number = int(inputs.data)
        if number == 0:
            return inputs
        if number == 1:
            return [message(b"10").to("even"), message(b"11").to("odd"), message(b"12").to("nobody")]
        return inputs.to("odd")

    even, odds = Collected(), Collected()
    nodes = {"s": source(numbers(3)), "m": node(sort, "even", "odd", "nobody"), "e": sink(even), "o": sink(odds)}
    made = flow(nodes, ["s > m", "m.even > e", "m.odd > o"]).run()
    assert even.ints == [0, 10]
    assert odds.ints == [0, 11, 2]
    assert made.dead() == []


def test_the_same_message_twice_from_one_call_is_two_messages(flow):
    @operator
    def twice(inputs, parameters):
        return [inputs, inputs]

    out = Collected()
    flow({"s": source(numbers(2)), "m": node(twice), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert out.ints == [0, 0, 1, 1]


def test_what_a_kernel_does_to_a_message_later_changes_nothing(flow):
    kept = []

    @operator
    def reuse(inputs, parameters):
        data = bytearray(b"0000")
        one = message(b"", n=[0])
        for n in range(5):
            data[:] = b"%04d" % n
            one.data = memoryview(data).toreadonly() if n % 2 else data
            one.header.meta["n"][0] = n
            kept.append(one)
            yield one
        data[:] = b"9999"
        one.header.meta.clear()

    out = Collected()
    flow({"s": source(reuse), "k": sink(out)}, ["s > k"]).run()
    assert [(int(m.data), m.meta) for m in out.messages] == [(n, {"n": [n]}) for n in range(5)]


def test_every_replica_knows_which_it_is_and_all_of_them_work(flow):
    seen = []

    @operator
    def who(inputs, parameters, context):
        seen.append((context.operator, context.replica, context.replicas))
        return inputs

    out = Collected()
    nodes = {"s": source(numbers(200)), "m": node(who, replicas=2), "k": sink(out)}
    flow(nodes, ["s > m", "m > k"]).run()
    assert sorted(out.ints) == list(range(200))
    assert {name for name, *_ in seen} == {"m"}
    assert {replica for _, replica, _ in seen} <= {0, 1}
    assert {replicas for *_, replicas in seen} == {2}


def test_several_sources_have_ids_of_their_own(flow):
    out = Collected()
    flow({"s": source(numbers(3), replicas=2), "k": sink(out)}, ["s > k"]).run()
    assert sorted(out.ids) == sorted(["s.0", "s.1", "s.2", "s~1.0", "s~1.1", "s~1.2"])


def test_order_holds_on_one_replica_through_many_messages(flow):
    out = Collected()
    flow({"s": source(numbers(5000)), "m": node(double), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert out.ints == list(range(0, 10_000, 2))


def test_nothing_is_stored_for_a_port_that_nobody_reads(flow):
    out = Collected()
    made = flow({"s": source(numbers(3), "out", "other"), "k": sink(out)}, ["s > k"]).run()
    assert out.ints == [0, 1, 2]
    assert made.counts("k")["received"] == 3

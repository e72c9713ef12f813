"""Edges that keep their order: what comes behind a failing message with its key waits for it."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict

import pytest
from delivery_harness import WAIT, Collected, Crash, crash_at, message, node, sink, source

from interactem.runtime import Fixed, operator
from interactem.runtime.errors import LoadError
from interactem.runtime.transports import MOST_HELD_IN_ORDER

BY_KEY = {"key": "meta.k", "ordered": True}


def rows(count, keys):
    """A source of so many messages with their number as data, of so many keys in turns."""

    @operator
    def read(inputs, parameters):
        for number in range(count):
            yield message(str(number).encode(), k=number % keys)

    return read


class Passing:
    """A kernel that passes on what it gets, but for what `fails` says, and notes which calls have succeeded."""

    def __init__(self, fails=lambda number, attempt: False):
        self.done = []
        self.lock = threading.Lock()

        @operator
        def kernel(inputs, parameters, context):
            number = int(inputs.data)
            if fails(number, context.attempt):
                inputs.header.meta["k"] = "spoilt"
                raise ValueError(f"no good: {number}")
            with self.lock:
                self.done.append(number)
            return inputs

        self.kernel = kernel

        @operator
        def stateful(inputs, parameters, context):
            context.state["calls"] = context.state.get("calls", 0) + 1
            return kernel(inputs, parameters, context)

        self.stateful = stateful


def first_ones(numbers):
    """Without what came again."""
    return list(dict.fromkeys(numbers))


def in_order(numbers, keys):
    found = defaultdict(list)
    for number in first_ones(numbers):
        found[number % keys].append(number)
    return all(of_key == sorted(of_key) for of_key in found.values())


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
def test_without_a_key_all_wait_for_what_fails(flow, stateful):
    passing, out = Passing(lambda number, attempt: number % 7 == 3 and attempt < 3), Collected()
    kernel = passing.stateful if stateful else passing.kernel
    edges = [("s > m", {"ordered": True}), ("m > k", {"ordered": True})]
    made = flow({"s": source(rows(20, 1)), "m": node(kernel), "k": sink(out)}, edges).run()
    assert out.ints == list(range(20))
    assert made.dead() == []
    assert made.counts("m")["retried"] == 6
    assert [e["attempts"] for e in made.events(6) if e["id"] == "s.3"] == [1, 2]


def test_other_keys_go_on_meanwhile(flow):
    others = threading.Event()
    passing, out = Passing(lambda number, attempt: number == 0 and not others.is_set()), Collected()
    nodes = {"s": source(rows(300, 3)), "m": node(passing.kernel, max_attempts=0), "k": sink(out)}
    made = flow(nodes, [("s > m", BY_KEY), ("m > k", BY_KEY)])
    made.start_all()
    out.wait(200)
    assert {number % 3 for number in out.ints} == {1, 2}
    others.set()
    made.finish()
    assert sorted(out.ints) == list(range(300))
    assert in_order(out.ints, 3)
    assert [number for number in out.ints if number % 3 == 0] == list(range(0, 300, 3))


def test_each_of_several_replicas_keeps_the_order_of_its_keys(flow):
    passing, out = Passing(lambda number, attempt: number % 5 == 0 and attempt < 2), Collected()
    nodes = {"s": source(rows(120, 7)), "m": node(passing.kernel, replicas=3), "k": sink(out)}
    flow(nodes, [("s > m", BY_KEY), ("m > k", BY_KEY)]).run()
    assert sorted(out.ints) == list(range(120))
    assert in_order(passing.done, 7)
    assert in_order(out.ints, 7)


def test_behind_a_dead_letter_they_go_on(flow):
    passing, out = Passing(lambda number, attempt: number in (2, 4)), Collected()
    nodes = {"s": source(rows(12, 2)), "m": node(passing.kernel), "k": sink(out)}
    made = flow(nodes, [("s > m", BY_KEY), ("m > k", BY_KEY)]).run()
    assert in_order(out.ints, 2)
    assert sorted(out.ints) == [n for n in range(12) if n not in (2, 4)]
    assert [(dead.message.id, dead.attempts) for dead in made.dead()] == [("s.2", 3), ("s.4", 3)]
    assert made.dead()[0].message.header.meta == {"k": 0}, "it is kept as it came"


def test_a_dead_letter_is_not_tried_again_after_a_death(flow):
    """Its delivery is not settled so far, as what came behind it has failed."""
    calls = []

    def fails(number, attempt):
        calls.append((number, attempt))
        if (number, attempt) == (1, 2):
            effects = replica.replica._effects
            assert wait_until(lambda: made.dead() and effects._stored.is_set())
            raise Crash
        return number == 0 or attempt == 1

    passing, out = Passing(fails), Collected()
    nodes = {"s": source(rows(1, 1)), "m": node(passing.stateful), "k": sink(out)}
    made = flow(nodes, [("s > m", BY_KEY), "m > k"])
    made.feed("s", [message(b"0", k=0), message(b"1", k=0)], ids=["s.0", "s.1"], lane="0.0")
    made.start("k")
    replica = made.start("m")
    made.finished_without("s")
    made.finish()
    assert out.ints == [1]
    assert [dead.message.id for dead in made.dead()] == ["s.0"]
    assert calls == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]


def wait_until(condition):
    until = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_a_sink_keeps_the_order_of_its_keys(flow):
    written = []

    @operator
    def write(inputs, parameters, context):
        if int(inputs.data) % 4 == 0 and context.attempt == 1:
            raise OSError("try again")
        written.append(int(inputs.data))

    flow({"s": source(rows(40, 4)), "k": sink(write, replicas=2)}, [("s > k", BY_KEY)]).run()
    assert sorted(written) == list(range(40))
    assert in_order(written, 4)


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
def test_what_ends_its_process_holds_back_its_key_too(flow, stateful):
    died = []

    def fails(number, attempt):
        if number == 3 and len(died) < 2:
            died.append(attempt)
            raise Crash
        return number == 6 and attempt < 3

    passing, out = Passing(fails), Collected()
    kernel = passing.stateful if stateful else passing.kernel
    nodes = {"s": source(rows(30, 3)), "m": node(kernel), "k": sink(out)}
    made = flow(nodes, [("s > m", BY_KEY), ("m > k", BY_KEY)]).run()
    assert died == [1, 2]
    assert sorted(out.ints) == list(range(30))
    assert in_order(passing.done, 3)
    assert in_order(out.ints, 3)
    assert made.dead() == []


def test_what_ends_its_process_each_time_is_a_dead_letter_and_the_rest_goes_on(flow):
    def fails(number, attempt):
        if number == 3:
            raise Crash
        return False

    passing, out = Passing(fails), Collected()
    made = flow({"s": source(rows(12, 3)), "m": node(passing.kernel), "k": sink(out)}, [("s > m", BY_KEY), "m > k"])
    made.run()
    assert sorted(out.ints) == [n for n in range(12) if n != 3]
    assert in_order(passing.done, 3)
    assert [(dead.message.id, dead.attempts) for dead in made.dead()] == [("s.3", 3)]


@pytest.mark.parametrize(("stateful", "before"), [(False, False), (True, True)], ids=["stateless", "stateful"])
def test_order_holds_through_a_crash_at_any_step(flow, before, stateful):
    for step in itertools.count():
        passing, out = Passing(lambda number, attempt: number == 2 and attempt == 1), Collected()
        kernel = passing.stateful if stateful else passing.kernel
        nodes = {"s": source(rows(6, 3)), "m": node(kernel), "k": sink(out)}
        made = flow(nodes, [("s > m", BY_KEY), ("m > k", BY_KEY)])
        prepare, crashed = crash_at(step, before=before)
        made.start("m", prepare=prepare)
        made.start_all(but=("m",))
        made.finish()
        assert sorted(out.ints) == list(range(6)), step
        assert in_order(passing.done, 3), (step, passing.done)
        assert in_order(out.ints, 3), (step, out.ints)
        made.close()
        if not crashed.is_set():
            break
    assert step >= 3


def test_what_a_dead_replica_held_is_waited_for(flow, monkeypatch):
    """Nobody hands it back, so the broker does after a while, behind what is newer."""
    reached, go_on = threading.Event(), threading.Event()

    def fails(number, attempt):
        if number == 2 and not go_on.is_set():
            reached.set()
            go_on.wait(WAIT)
            raise Crash
        return False

    passing, out = Passing(fails), Collected()
    made = flow({"s": source(rows(1, 1)), "m": node(passing.kernel), "k": sink(out)}, [("s > m", BY_KEY), "m > k"])
    made.start("k")
    first = made.start("m")
    for number in range(6):
        made.feed("s", [message(str(number).encode(), k=0)], ids=[f"s.{number}"], lane="0.0")
    assert reached.wait(WAIT)
    if hasattr(made.backend, "server"):
        monkeypatch.setattr(made.backend, "abandon", lambda transport, slot: transport.close())
    go_on.set()
    made.crash(first)
    made.start("m")
    for number in range(6, 12):
        made.feed("s", [message(str(number).encode(), k=0)], ids=[f"s.{number}"], lane="0.0")
    out.wait(12)
    made.finished_without("s")
    made.finish()
    assert first_ones(out.ints) == list(range(12))


def test_more_than_one_reader_may_hold_waits_at_the_broker(flow):
    late = threading.Event()
    passing, out = Passing(lambda number, attempt: number == 0 and not late.is_set()), Collected()
    count = 2 * MOST_HELD_IN_ORDER + 20
    made = flow(
        {"s": source(rows(1, 1)), "m": node(passing.kernel, max_attempts=0), "k": sink(out)},
        [("s > m", BY_KEY), "m > k"],
    )
    for number in range(count):
        made.feed("s", [message(str(number).encode(), k=number % 2)], ids=[f"s.{number}"], lane="0.0")
    made.start("m")
    made.start("k")
    out.wait(MOST_HELD_IN_ORDER // 2, lambda received: int(received.data) % 2 == 1)
    late.set()
    made.finished_without("s")
    made.finish()
    assert sorted(out.ints) == list(range(count))
    assert in_order(out.ints, 2)


def test_the_order_holds_whatever_other_edges_of_the_port_say(flow):
    every, keyed, odd = Passing(), Passing(), Collected()
    out = Collected()

    @operator
    def read(inputs, parameters):
        for number in range(400):
            yield message(str(number).encode(), k=number % 5).to("out", tags=["odd"] if number % 2 else [])

    flow(
        {
            "s": source(read),
            "all": node(every.kernel),
            "some": node(keyed.kernel, replicas=3),
            "odd": sink(odd, replicas=2),
            "out": sink(out),
        },
        [
            ("s > all", {"ordered": True}),
            ("s > some", BY_KEY),
            ("s > odd", {"when": {"tags": {"any": ["odd"]}}}),
            ("all > out", {"ordered": True}),
        ],
    ).run()
    assert out.ints == list(range(400))
    assert in_order(keyed.done, 5)
    assert sorted(odd.ints) == list(range(1, 400, 2))


def test_edges_with_and_without_order_lead_to_one_operator(flow):
    passing, out = Passing(lambda number, attempt: number % 3 == 0 and attempt == 1), Collected()
    made = flow(
        {"a": source(rows(30, 1)), "b": source(rows(30, 1)), "m": node(passing.kernel), "k": sink(out)},
        [("a > m.one", {"ordered": True}), "b > m.two", ("m > k", {"ordered": True})],
    ).run()
    assert [int(m.data) for m in out.messages if m.id.startswith("a")] == list(range(30))
    assert sorted(int(m.data) for m in out.messages if m.id.startswith("b")) == list(range(30))
    assert made.dead() == []


def test_a_kernel_that_calls_several_at_once_keeps_its_order_by_its_decorator(flow):
    @operator(threads=3, ordered=True)
    def kernel(inputs, parameters, context):
        if int(inputs.data) % 4 == 0 and context.attempt == 1:
            raise ValueError("once")
        return inputs

    out = Collected()
    edges = [("s > m", {"ordered": True}), ("m > k", {"ordered": True})]
    flow({"s": source(rows(40, 1)), "m": node(kernel), "k": sink(out)}, edges).run()
    assert out.ints == list(range(40))


def test_one_that_does_not_is_refused(flow):
    @operator(threads=3)
    def kernel(inputs):
        return inputs

    made = flow({"s": source(rows(1, 1)), "m": node(kernel)}, [("s > m", {"ordered": True})])
    with pytest.raises(LoadError, match=r"kernel is given several messages at once, .* add ordered=True"):
        made.start("m")


def test_a_reducer_is_not_divided_by_another_key_than_its_own(flow):
    @operator.reduce(window=Fixed(10), key="meta.k")
    def count(messages):
        return message(str(len(list(messages))).encode())

    made = flow({"s": source(rows(1, 1)), "m": node(count, replicas=2)}, [("s > m", {"key": "meta.other"})])
    with pytest.raises(LoadError, match=r'groups by meta.k, and meta.other would divide .* give "key": "meta.k"'):
        made.start("m")

"""Effects happen once, whatever crashes when: state, what sinks write, and what is sent because of them."""

from __future__ import annotations

import itertools
import json
import threading

import numpy as np
import pytest
from delivery_harness import Collected, Crash, crash_at, message, node, numbers, sink, source

from interactem.runtime import checkpoint, operator


def summing():
    """Sends each running sum: what is lost or doubled shows in all that follows."""

    @operator
    def add(inputs, parameters, context):
        state, number = context.state, int(inputs.data)
        state["sum"] = state.get("sum", 0) + number
        state["count"] = state.get("count", 0) + 1
        return message(str(state["sum"]).encode(), count=state["count"], number=number)

    return add


def assert_running_sums(messages, numbers):
    """Each number was added exactly once, and each sum follows from the one before."""
    found = sorted((m.meta["count"], m.meta["number"], int(m.data)) for m in messages)
    assert [count for count, *_ in found] == list(range(1, len(numbers) + 1))
    assert sorted(number for _, number, _ in found) == sorted(numbers)
    assert [total for *_, total in found] == list(itertools.accumulate(number for _, number, _ in found))


def state_of(made, name, replica=0):
    record = made.names.record(made.operator(name).index, replica, "checkpoint")
    return checkpoint.decode(made.backend.records()[record]).state


def test_state_is_kept_from_message_to_message(flow):
    out = Collected()
    nodes = {"s": source(numbers(50)), "m": node(summing()), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"]).run()
    assert_running_sums(out.messages, range(50))
    assert out.ints[-1] == sum(range(50))
    assert state_of(made, "m") == {"sum": sum(range(50)), "count": 50}


def test_state_may_hold_arrays_and_what_msgpack_holds(flow):
    @operator
    def fill(inputs, parameters, context):
        state = context.state
        state.setdefault("map", np.zeros((3, 4), np.float32))[int(inputs.data), 1] = 7
        state["keys"] = {1: b"x", "y": [None, True]}
        state["scalar"] = np.float64(0.25)

    made = flow({"s": source(numbers(3)), "k": sink(fill)}, ["s > k"]).run()
    state = state_of(made, "k")
    assert state["map"].tolist() == [[0, 7, 0, 0]] * 3
    assert state["map"].dtype == np.float32
    assert (state["keys"], state["scalar"]) == ({1: b"x", "y": [None, True]}, 0.25)


def test_a_state_larger_than_one_message_of_the_broker(flow):
    @operator
    def grow(inputs, parameters, context):
        context.state[inputs.data.decode()] = np.full(300_000, int(inputs.data), np.uint8)

    made = flow({"s": source(numbers(8)), "k": sink(grow)}, ["s > k"], max_payload=2**20)
    made.start_all(but=("k",))
    first = made.start("k")
    made.finish()
    # another incarnation finds it
    record = made.backend.records()[made.names.record(made.operator("k").index, 0, "checkpoint")]
    assert len(record) < 1000, "it is a reference"
    del first
    made.backend.tell(made.names.control(made.operator("k").index, "finish"), b"{}")
    again = made.start("k")
    again.join()
    assert again.error is None
    assert sorted(again.replica._effects.checkpoint.state) == [str(n) for n in range(8)]
    assert all(int(v[0]) == int(k) and len(v) == 300_000 for k, v in again.replica._effects.checkpoint.state.items())
    assert made.backend.blobs() == 3, "only the pieces of the last checkpoint are left"


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_stateful_operator_that_crashes_at_any_step_neither_loses_nor_doubles(flow, before):
    for step in itertools.count():
        out = Collected()
        nodes = {"s": source(numbers(12)), "m": node(summing()), "k": sink(out)}
        made = flow(nodes, ["s > m", "m > k"])
        prepare, crashed = crash_at(step, before=before)
        made.start("m", prepare=prepare)
        made.start_all(but=("m",))
        made.finish()
        assert_running_sums(out.messages, range(12))
        assert state_of(made, "m") == {"sum": sum(range(12)), "count": 12}
        made.close()
        if not crashed.is_set():
            break
    assert step >= 3


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_sink_that_crashes_at_any_step_writes_every_message(flow, before):
    for step in itertools.count():
        written: dict[str, int] = {}
        calls = []

        @operator
        def write(inputs, parameters, context, written=written, calls=calls):
            calls.append(inputs.id)
            written[inputs.id] = int(inputs.data)

        made = flow({"s": source(numbers(12)), "k": sink(write)}, ["s > k"])
        prepare, crashed = crash_at(step, before=before)
        made.start("k", prepare=prepare)
        made.start_all(but=("k",))
        made.finish()
        assert written == {f"s.{n}": n for n in range(12)}, step
        made.close()
        if not crashed.is_set():
            assert len(calls) == 12
            break
    assert step >= 2


def test_a_sink_is_given_nothing_again_that_its_checkpoint_covers(flow):
    out = Collected()
    made = flow({"s": source(numbers(10)), "k": sink(out)}, ["s > k"])
    made.start("s")
    prepare, crashed = crash_at(1, before=True)  # the checkpoint is stored, the acknowledgement is not
    first = made.start("k", prepare=prepare)
    first.join()
    assert crashed.is_set()
    made.crash(first)
    made.start("k")
    made.finish()
    assert out.ids.count("s.0") == 1
    assert set(out.ints) == set(range(10))


@pytest.mark.parametrize("at", range(1, 8))
def test_a_process_that_dies_in_a_call_counts_one_attempt_and_keeps_its_state(flow, at):
    died = threading.Event()

    @operator
    def add(inputs, parameters, context):
        number = int(inputs.data)
        context.state["sum"] = context.state.get("sum", 0) + number
        context.state.setdefault("attempts", []).append([number, context.attempt])
        if number == at and not died.is_set():
            died.set()
            raise Crash
        return message(str(context.state["sum"]).encode())

    out = Collected()
    nodes = {"s": source(numbers(8)), "m": node(add), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"])
    first = made.start("m")
    made.start_all(but=("m",))
    first.join()
    assert isinstance(first.error, Crash)
    call = made.record_crash(first)
    assert (call.edge, call.message_id, call.attempt) == (0, f"s.{at}", 1)
    made.crash(first)
    made.start("m")
    made.finish()
    state = state_of(made, "m")
    assert state["sum"] == sum(range(8))
    assert sorted(state["attempts"]) == [[n, 2 if n == at else 1] for n in range(8)]
    assert len(out.messages) == 8
    assert made.dead() == []


def test_a_message_that_kills_its_process_each_time_becomes_a_dead_letter(flow):
    @operator
    def die(inputs, parameters, context):
        if inputs.data == b"3":
            raise Crash
        return inputs

    out = Collected()
    made = flow({"s": source(numbers(6)), "m": node(die), "k": sink(out)}, ["s > m", "m > k"])
    made.start_all(but=("m",))
    for attempt in range(1, 4):
        running = made.start("m")
        running.join()
        call = made.record_crash(running, "the kernel ended its process (SIGSEGV)")
        assert (call.message_id, call.attempt) == ("s.3", attempt)
        made.crash(running)
    made.start("m")
    made.finish()
    assert sorted(set(out.ints)) == [0, 1, 2, 4, 5]
    [dead] = made.dead()
    assert (dead.message.data, dead.attempts) == (b"3", 3)
    assert dead.error == "the kernel ended its process (SIGSEGV)"


def test_the_state_is_what_it_was_before_a_call_that_failed(flow):
    @operator
    def spoil(inputs, parameters, context):
        number = int(inputs.data)
        context.state["sum"] = context.state.get("sum", 0) + number
        context.state.setdefault("list", []).append(number)
        inputs.header.meta["spoilt"] = True
        if number % 3 == 0 and context.attempt == 1:
            context.state.clear()
            raise ValueError("no good")
        return message(str(context.state["sum"]).encode(), spoilt=inputs.meta.get("before", False))

    out = Collected()
    nodes = {"s": source(numbers(1)), "m": node(spoil), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"])
    made.feed("s", [message(str(n).encode()) for n in range(1, 40)], ids=[f"x.{n}" for n in range(1, 40)])
    made.run()
    state = state_of(made, "m")
    assert state["sum"] == sum(range(40))
    assert sorted(state["list"]) == list(range(40))
    assert len(out.messages) == 40
    assert made.counts("m")["sent"] == 40
    assert made.dead() == []


def test_copies_from_upstream_have_no_second_effect(flow):
    calls = []

    @operator
    def forward(inputs, parameters):
        return inputs

    @operator
    def count(inputs, parameters, context):
        calls.append(inputs.id)

    nodes = {"s": source(numbers(1)), "m": node(forward), "k": sink(count)}
    made = flow(nodes, ["s > m", "m > k"])
    batch = [message(str(n).encode()) for n in range(50)]
    ids = [f"x.{n}" for n in range(50)]
    made.feed("s", batch, ids=ids)
    made.feed("s", batch[10:30], ids=ids[10:30])
    made.feed("s", [batch[0], *batch], ids=[ids[0], *ids])
    made.feed("s", [batch[7], batch[7]], ids=["y.7", "y.7"])
    made.run()
    assert sorted(calls) == sorted([*(f"x.{n}/0.0" for n in range(50)), "y.7/0.0", "s.0/0.0"])


@pytest.mark.parametrize("replicas", [2, 3])
def test_several_sinks_share_the_work_and_copies_reach_the_same_one(flow, replicas):
    calls = []

    @operator
    def count(inputs, parameters, context):
        calls.append((inputs.id, context.replica))

    made = flow({"s": source(numbers(300)), "k": sink(count, replicas=replicas)}, ["s > k"])
    first = made.start("s")
    first.join()
    made.start("s")  # a source that starts over sends everything again
    for index in range(replicas):
        made.start("k", index)
    made.finish()
    assert sorted(i for i, _ in calls) == sorted(f"s.{n}" for n in range(300))
    assert {replica for _, replica in calls} == set(range(replicas))


def test_one_stream_for_sinks_of_different_numbers(flow):
    first, second = Collected(), Collected()
    nodes = {"s": source(numbers(200)), "a": sink(first, replicas=2), "b": sink(second)}
    flow(nodes, ["s > a", "s > b"]).run()
    assert sorted(first.ints) == sorted(second.ints) == list(range(200))


def test_what_a_sink_remembers_stays_small(flow):
    @operator
    def explode(inputs, parameters):
        for n in range(2000):
            yield message(str(n).encode())

    nodes = {
        "s": source(numbers(5)),
        "m": node(explode),
        "a": sink(Collected(), replicas=2),
        "b": sink(Collected()),
    }
    made = flow(nodes, ["s > m", "m > a", "m > b"])
    made.run()
    records = made.backend.records()
    for name, index in (("a", 0), ("a", 1), ("b", 0)):
        record = records[made.names.record(made.operator(name).index, index, "checkpoint")]
        assert len(checkpoint.decode(record).applied) <= 60


def test_a_replica_asked_to_stop_leaves_the_rest_to_the_next(flow):
    out = Collected()

    @operator
    def slow(inputs, parameters, context):
        out.keep(inputs)
        context.state["n"] = context.state.get("n", 0) + 1

    made = flow({"s": source(numbers(40)), "k": sink(slow)}, ["s > k"])
    made.start("s")
    first = made.start("k")
    out.wait(5)
    first.replica.stop()
    first.join()
    assert first.error is None
    made.crash(first)
    made.start("k")
    made.finish()
    assert state_of(made, "k") == {"n": 40}


def test_the_finish_function_is_called_once_the_stream_has_ended(flow):
    def emit(parameters, context):
        yield message(str(context.state["sum"]).encode())
        yield message(b"done")

    @operator(finish=emit)
    def add(inputs, parameters, context):
        context.state["sum"] = context.state.get("sum", 0) + int(inputs.data)

    out = Collected()
    flow({"s": source(numbers(20)), "m": node(add), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert out.data == [str(sum(range(20))).encode(), b"done"]
    assert out.ids == ["m~0~end.1", "m~0~end.1/1"]


def test_a_finish_function_that_fails_is_called_again_with_the_state_as_it_was(flow):
    attempts = []

    def emit(parameters, context):
        attempts.append(context.attempt)
        context.state["sum"] += 1
        if len(attempts) < 3:
            raise ValueError("not yet")
        return message(str(context.state["sum"]).encode())

    @operator(finish=emit)
    def add(inputs, parameters, context):
        context.state["sum"] = context.state.get("sum", 0) + int(inputs.data)

    out = Collected()
    flow({"s": source(numbers(4)), "m": node(add), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert (out.ints, attempts) == ([7], [1, 2, 3])


@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_crash_around_the_finish_sends_its_messages_once(flow, before, stateful):
    for step in itertools.count():

        def emit(parameters, context):
            return message(str(context.state["sum"] if stateful else 3).encode())

        @operator(finish=emit)
        def add(inputs, parameters, context):
            if stateful:
                context.state["sum"] = context.state.get("sum", 0) + int(inputs.data)

        out = Collected()
        made = flow({"s": source(numbers(3)), "m": node(add), "k": sink(out)}, ["s > m", "m > k"])
        prepare, crashed = crash_at(step, before=before)
        made.start("m", prepare=prepare)
        made.start_all(but=("m",))
        made.finish()
        assert (out.ints, out.ids) == ([3], ["m~0~end.1"]), step
        made.close()
        if not crashed.is_set():
            break
    assert step >= 3


def test_watermarks_that_came_before_the_checkpoint_count(flow):
    calls = []

    @operator
    def count(inputs, parameters, context):
        calls.append(inputs.id)

    made = flow({"s": source(numbers(1)), "k": sink(count)}, ["s > k"])
    made.backend.tell(made.names.control(made.operator("k").index, "watermarks"), json.dumps({"x": 5}).encode())
    made.feed("s", [message(b"1")], ids=["x.9"])
    first = made.start("k")
    while "x.9" not in calls:
        first.thread.join(0.002)
    first.replica.stop()
    first.join()
    made.crash(first)
    made.feed("s", [message(b"1")] * 3, ids=["x.3", "x.4/1.0", "x.6"])
    made.run()
    assert sorted(calls) == ["s.0", "x.6", "x.9"]

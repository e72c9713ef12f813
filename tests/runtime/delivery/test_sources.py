"""Sources go on where they were, count anew where they must, and hear what they are told."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from delivery_harness import WAIT, Aborted, Collected, crash_at, message, node, numbers, sink, source

from interactem.runtime import checkpoint, operator
from interactem.runtime.replica import SourceError


def positioned(count):
    """A source that starts where it is asked to."""
    begun = []

    @operator
    def read(inputs, parameters, context):
        begun.append(context.position)
        for number in range(context.position, count):
            yield message(str(number).encode())

    return read, begun


@pytest.mark.parametrize("kind", ["asks", "replays"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_generator_that_crashes_at_any_step_sends_each_message_once(flow, kind, before):
    for step in itertools.count():
        kernel = positioned(8)[0] if kind == "asks" else numbers(8)
        out = Collected()
        made = flow({"s": source(kernel), "k": sink(out)}, ["s > k"])
        prepare, crashed = crash_at(step, before=before)
        made.start("s", prepare=prepare)
        made.start("k")
        made.finish()
        assert sorted(zip(out.ids, out.ints, strict=True)) == [(f"s.{n}", n) for n in range(8)], step
        made.close()
        if not crashed.is_set():
            break
    assert step >= 3


def test_a_generator_that_asks_starts_where_the_last_one_got_to(flow):
    kernel, begun = positioned(10)
    out = Collected()
    made = flow({"s": source(kernel), "k": sink(out)}, ["s > k"])
    made.start("s").join()
    made.start("s")
    made.start("k")
    made.finish()
    assert begun == [0, 10]
    assert out.ints == list(range(10))


def test_a_generator_with_state_has_the_state_of_its_position(flow):
    @operator
    def fibonacci(inputs, parameters, context):
        state = context.state
        state.setdefault("pair", [0, 1])
        for _ in range(context.position, 12):
            a, b = state["pair"]
            state["pair"] = [b, a + b]
            yield message(str(a).encode())

    for step in itertools.count():
        out = Collected()
        made = flow({"s": source(fibonacci), "k": sink(out)}, ["s > k"])
        prepare, crashed = crash_at(step, before=False)
        made.start("s", prepare=prepare)
        made.start("k")
        made.finish()
        assert sorted(out.ints) == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89], step
        made.close()
        if not crashed.is_set():
            break


def test_the_state_of_a_source_is_what_it_was_when_it_sent_last(flow):
    failed = threading.Event()

    @operator
    def count(inputs, parameters, context):
        for number in range(context.position, 6):
            context.state["n"] = context.state.get("n", 0) + 1
            if number == 3 and not failed.is_set():
                failed.set()
                raise ValueError("no good")
            yield message(str(context.state["n"]).encode())

    out = Collected()
    flow({"s": source(count), "k": sink(out)}, ["s > k"]).run()
    assert out.ints == [1, 2, 3, 4, 5, 6]


def test_a_source_that_fails_goes_on_and_gives_up_after_its_attempts(flow):
    kernel_attempts = []

    @operator
    def fail(inputs, parameters, context):
        kernel_attempts.append(context.attempt)
        for number in range(context.position, 3):
            yield message(str(number).encode())
        raise ValueError("the detector is off")

    out = Collected()
    made = flow({"s": source(fail), "k": sink(out)}, ["s > k"])
    running = made.start("s")
    running.join()
    assert isinstance(running.error, SourceError)
    assert "the source failed 3 times in a row: ValueError: the detector is off" in str(running.error)
    assert kernel_attempts == [1, 2, 3]
    made.start("k")
    out.wait(3)
    assert out.ints == [0, 1, 2]
    assert [(e["kind"], e["attempts"]) for e in made.events(3)] == [("failure", n) for n in (1, 2, 3)]


def polled(values):
    """A source that is called again and again, and has something to say now and then."""

    @operator
    def poll(inputs, parameters):
        time.sleep(0.001)  # a slow one, so that the test is about few messages
        value = next(values)
        return None if value is None else message(str(value).encode())

    return poll


def test_a_function_is_called_again_and_backed_off_while_it_has_nothing(flow):
    calls = []
    values = iter([0, None, None, 1, None, 2])

    @operator
    def poll(inputs, parameters):
        calls.append(inputs)
        value = next(values, None)
        return None if value is None else message(str(value).encode())

    out = Collected()
    made = flow({"s": source(poll), "k": sink(out)}, ["s > k"])
    made.start("k")
    running = made.start("s")
    out.wait(3)
    made.backend.tell(made.names.control(made.operator("s").index, "drain"), b"{}")
    running.join()
    made.finish()
    assert out.ints == [0, 1, 2]
    assert set(calls) == {None}
    assert len(calls) < 200, "it was not called without pause"


def test_a_source_that_cannot_run_again_gets_new_ids(flow):
    @operator(replayable=False)
    def camera(inputs, parameters):
        for _ in range(3):
            yield message(str(next(frames)).encode())

    frames = itertools.count()
    out = Collected()
    made = flow({"s": source(camera), "k": sink(out)}, ["s > k"])
    made.start("s").join()
    made.start("s").join()
    made.start("k")
    made.start("s").join()  # its record of an earlier end does not say that it has come to this one
    made.finish()
    assert sorted(zip(out.ids, out.ints, strict=True)) == [
        *((f"s.{n}", n) for n in range(3)),
        *((f"s~0~1.{n}", n + 3) for n in range(3)),
        *((f"s~0~2.{n}", n + 6) for n in range(3)),
    ]


@pytest.mark.parametrize("kind", ["generator", "function"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_source_that_cannot_run_again_never_uses_an_id_twice(flow, before, kind):
    """Else its new messages would be taken for copies of those that it sent before it crashed."""
    for step in range(8):
        frames = itertools.count()

        @operator(replayable=False)
        def camera(inputs, parameters, frames=frames):
            while True:
                time.sleep(0.001)  # a slow camera, so that the test is about few frames
                yield message(str(next(frames)).encode())

        kernel = camera if kind == "generator" else polled(frames)
        out = Collected()
        made = flow({"s": source(kernel), "k": sink(out)}, ["s > k"])
        made.start("k")
        prepare, crashed = crash_at(step, before=before)
        first = made.start("s", prepare=prepare)
        first.join()
        assert crashed.is_set()
        assert isinstance(first.error, Aborted)
        made.crash(first)
        lost = next(frames)
        second = made.start("s")
        out.wait(5, lambda m, lost=lost: int(m.data) > lost)  # what the first one has stored may still come
        made.backend.tell(made.names.control(made.operator("s").index, "drain"), b"{}")
        second.join()
        made.finish()
        assert len(set(out.ids)) == len(out.ids) == len(set(out.ints))
        # everything of the second incarnation has arrived: from the first frame after the crash, without a gap
        later = sorted(n for n in out.ints if n > lost)
        assert later == list(range(lost + 1, lost + 1 + len(later)))
        assert len(later) >= 5
        made.close()


def test_a_function_that_asks_for_its_position_keeps_its_ids(flow):
    @operator
    def read(inputs, parameters, context):
        return message(str(context.position).encode()) if context.position < 6 else None

    out = Collected()
    made = flow({"s": source(read), "k": sink(out)}, ["s > k"])
    prepare, _ = crash_at(4, before=False)
    first = made.start("s", prepare=prepare)
    first.join()
    made.crash(first)
    second = made.start("s")
    made.start("k")
    out.wait(6)
    made.backend.tell(made.names.control(made.operator("s").index, "drain"), b"{}")
    second.join()
    made.finish()
    assert sorted(zip(out.ids, out.ints, strict=True)) == [(f"s.{n}", n) for n in range(6)]


def test_several_messages_of_one_position(flow):
    @operator
    def pairs(inputs, parameters, context):
        for number in range(context.position, 3):
            yield [message(f"{number}0".encode()), message(f"{number}1".encode())]
            yield None

    out = Collected()
    flow({"s": source(pairs), "k": sink(out)}, ["s > k"]).run()
    assert out.ids == ["s.0", "s.0/1", "s.2", "s.2/1", "s.4", "s.4/1"]
    assert out.data == [b"00", b"01", b"10", b"11", b"20", b"21"]


def test_parameters_change_while_a_source_runs_and_survive_its_restart(flow):
    heard = threading.Event()

    @operator
    def follow(inputs, parameters):
        while parameters["value"] < 2:
            if parameters["value"]:
                heard.set()
            yield message(str(parameters["value"]).encode())

    out = Collected()
    made = flow({"s": source(follow, parameters={"value": 0}), "k": sink(out)}, ["s > k"])
    made.start("k")
    running = made.start("s")
    out.wait(3)
    made.set("s", value=1)
    assert heard.wait(WAIT)
    made.set("s", value=2)
    running.join()
    made.finish()
    assert set(out.ints) == {0, 1}
    assert made.start("s").replica._hearing.parameters in ({}, {"value": 2})


def test_parameters_change_between_two_messages_and_survive_a_restart(flow):
    @operator
    def stamp(inputs, parameters):
        return message(inputs.data, value=parameters["value"], more=parameters.get("more"))

    out = Collected()
    nodes = {"s": source(numbers(1)), "m": node(stamp, parameters={"value": "a", "more": 1}), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"])
    made.start_all(but=("m",))
    first = made.start("m")
    out.wait(1)
    made.set("m", value="b")
    while first.replica._hearing.parameters != {"value": "b"}:
        first.thread.join(0.001)
    made.feed("s", [message(b"1")], ids=["x.1"])
    out.wait(2)
    first.replica.stop()
    first.join()
    made.crash(first)
    made.start("m")
    made.feed("s", [message(b"2")], ids=["x.2"])
    made.finish()
    assert [(m.data, m.meta) for m in out.messages] == [
        (b"0", {"value": "a", "more": 1}),
        (b"1", {"value": "b", "more": None}),
        (b"2", {"value": "b", "more": None}),
    ]


def test_a_source_that_has_ended_does_not_end_again(flow):
    def bye(context):
        return message(b"-1")

    @operator(finish=bye)
    def count(inputs, parameters, context):
        for number in range(context.position, 3):
            yield message(str(number).encode())

    for step in itertools.count():
        out = Collected()
        made = flow({"s": source(count), "k": sink(out)}, ["s > k"])
        prepare, crashed = crash_at(step, before=False)
        made.start("s", prepare=prepare)
        made.start("k")
        made.finish()
        assert sorted(out.ints) == [-1, 0, 1, 2], step
        made.close()
        if not crashed.is_set():
            break


def test_a_source_that_was_drained_goes_on_in_a_resumed_run(flow):
    @operator(finish=lambda parameters, context: message(b"-1"))
    def count(inputs, parameters, context):
        for number in itertools.count(context.position):
            time.sleep(0.001)
            yield message(str(number).encode())

    out = Collected()
    made = flow({"s": source(count), "k": sink(out)}, ["s > k"])
    made.start("k")
    running = made.start("s")
    out.wait(3)
    made.backend.tell(made.names.control(made.operator("s").index, "drain"), b"{}")
    running.join()
    record = made.names.record(made.operator("s").index, 0, "checkpoint")
    sent = checkpoint.decode(made.backend.records()[record]).position
    out.wait(sent + 1)
    assert sorted(out.ints) == [-1, *range(sent)]
    made.forget_drain("s")
    again = made.start("s")
    out.wait(sent + 4)
    made.backend.tell(made.names.control(made.operator("s").index, "drain"), b"{}")
    again.join()
    made.finish()
    assert sorted(out.ints) == [-1, -1, *range(len(out.ints) - 2)]


def test_replicas_of_a_source_have_positions_of_their_own(flow):
    @operator
    def share(inputs, parameters, context):
        for number in range(context.position, 5):
            yield message(str(number * context.replicas + context.replica).encode())

    out = Collected()
    flow({"s": source(share, replicas=2), "k": sink(out)}, ["s > k"]).run()
    assert sorted(out.ints) == list(range(10))

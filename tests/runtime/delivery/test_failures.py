"""A message that fails is tried again, then kept as a dead letter; its neighbours go on."""

from __future__ import annotations

import asyncio
import logging
import sys

import numpy as np
import pytest
from delivery_harness import Collected, message, node, numbers, sink, source

from interactem.runtime import BytesMessage, MessageHeader, operator, wire
from interactem.runtime.ids import file


def failing(times: int, *chosen: int):
    """Fails the first `times` times on the chosen numbers."""
    attempts: list[tuple[int, int]] = []

    @operator
    def fail(inputs, parameters, context):
        number = int(inputs.data)
        if number in chosen:
            attempts.append((number, context.attempt))
            inputs.header.meta["spoilt"] = True
            if context.attempt <= times:
                raise ValueError(f"no good: {number}")
        return inputs

    return fail, attempts


def test_a_message_that_fails_is_tried_again(flow):
    kernel, attempts = failing(1, 3)
    out = Collected()
    made = flow({"s": source(numbers(6)), "m": node(kernel), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert sorted(out.ints) == list(range(6))
    assert attempts == [(3, 1), (3, 2)]
    assert made.dead() == []
    assert made.counts("m")["retried"] == 1
    assert made.counts("m")["dead"] == 0


def test_after_the_last_attempt_it_is_a_dead_letter(flow):
    kernel, attempts = failing(100, 2)
    out = Collected()
    made = flow({"s": source(numbers(5)), "m": node(kernel), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert sorted(out.ints) == [0, 1, 3, 4]
    assert attempts == [(2, 1), (2, 2), (2, 3)]
    [dead] = made.dead()
    assert (dead.message.data, dead.message.id, dead.attempts) == (b"2", "s.2", 3)
    assert dead.error == "ValueError: no good: 2"
    assert 'raise ValueError(f"no good: {number}")' in dead.about["failure"]["traceback"]
    assert (dead.about["operator"], dead.about["port"], dead.about["edge"]) == ("m", "in", 0)
    assert dead.message.header.meta == {}, "it is kept as it came, whatever the kernel did to it"
    counts = made.counts("m")
    assert {name: counts[name] for name in ("received", "sent", "retried", "dead", "waiting")} == {
        "received": 7,
        "sent": 4,
        "retried": 2,
        "dead": 1,
        "waiting": 0,
    }


def test_a_dead_letter_is_told_as_an_event(flow):
    kernel, _ = failing(100, 0, 1, 2)
    made = flow({"s": source(numbers(3)), "m": node(kernel, max_attempts=1)}, ["s > m"]).run()
    assert sorted((e["kind"], e["id"], e["attempts"]) for e in made.events(3)) == [
        ("dead", f"s.{n}", 1) for n in range(3)
    ]


def test_every_failed_attempt_is_told_as_an_event(flow):
    kernel, _ = failing(100, 0)
    made = flow({"s": source(numbers(1)), "m": node(kernel)}, ["s > m"]).run()
    events = made.events(3)
    assert [(e["kind"], e["id"], e["attempts"]) for e in events] == [
        ("failure", "s.0", 1),
        ("failure", "s.0", 2),
        ("dead", "s.0", 3),
    ]
    assert all(e["error"] == "ValueError: no good: 0" and "raise ValueError" in e["traceback"] for e in events)


def test_attempts_may_have_no_end(flow):
    kernel, attempts = failing(5, 0)
    out = Collected()
    nodes = {"s": source(numbers(1)), "m": node(kernel, max_attempts=0), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"])
    # the backoff between attempts is real time: let it pass quickly
    made.clock = iter(range(10**6, 10**9, 100)).__next__
    made.run()
    assert out.ints == [0]
    assert [attempt for _, attempt in attempts] == [1, 2, 3, 4, 5, 6]


def test_neighbours_in_the_same_batch_neither_wait_nor_suffer(flow):
    kernel, _ = failing(100, *range(0, 300, 7))
    out = Collected()
    made = flow({"s": source(numbers(1)), "m": node(kernel, max_attempts=1), "k": sink(out)}, ["s > m", "m > k"])
    made.feed("s", [message(str(n).encode()) for n in range(1, 300)], ids=[f"x.{n}" for n in range(1, 300)])
    made.run()
    assert sorted(out.ints) == [n for n in range(300) if n % 7]
    assert sorted(int(dead.message.data) for dead in made.dead()) == list(range(0, 300, 7))


@pytest.mark.parametrize("kind", ["sink", "state"])
def test_neighbours_keep_their_effect_too(flow, kind):
    total = []

    @operator
    def add(inputs, parameters, context):
        number = int(inputs.data)
        if kind == "state":
            context.state["sum"] = context.state.get("sum", 0) + number
            context.state.setdefault("seen", []).append(number)
            total[:] = [context.state["sum"]]
        else:
            total.append(number)
        if number % 5 == 0:
            if kind == "sink":
                total.pop()
            raise ValueError("no good")

    made = flow({"s": source(numbers(1)), "k": sink(add, max_attempts=2)}, ["s > k"])
    made.feed("s", [message(str(n).encode()) for n in range(1, 100)], ids=[f"x.{n}" for n in range(1, 100)])
    made.run()
    expected = sum(n for n in range(100) if n % 5)
    assert len(made.dead()) == 20
    if kind == "sink":
        assert sum(total) == expected
    else:
        [state] = states(made, "k")
        assert state["sum"] == expected
        assert sorted(state["seen"]) == [n for n in range(100) if n % 5]


def states(made, name):
    from interactem.runtime import checkpoint

    records = made.backend.records()
    operator_ = made.operator(name)
    return [
        checkpoint.decode(records[made.names.record(operator_.index, replica, "checkpoint")]).state
        for replica in range(operator_.replicas)
    ]


def returning(value):
    @operator
    def kernel(inputs, parameters):
        return value() if int(inputs.data) == 1 else inputs

    return kernel


def with_meta(meta):
    return lambda: BytesMessage(MessageHeader(meta=meta), b"1")


class Strange:
    def __str__(self):
        raise RuntimeError("no text")


class StrangeError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def raising(error):
    def fail():
        raise error

    return fail


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (lambda: 42, "the kernel returned a builtins.int; return a BytesMessage"),
        (lambda: [message(b"1"), "x"], "the kernel returned a builtins.str"),
        (lambda: message(b"1").to("nowhere"), "there is no output port 'nowhere'; the operator declares: out"),
        (lambda: [message(b"1"), message(b"1").to("nowhere")], "there is no output port 'nowhere'"),
        (with_meta({"a": object()}), "a message's meta cannot be sent: it holds a builtins.object"),
        (with_meta({(1, 2): 3}), "a message's meta could not be read again"),
        (with_meta({"deep": [{(1, 2): 3}]}), "a message's meta could not be read again"),
        (with_meta([1]), "a message's meta is a dict or bytes, not a list"),
        (with_meta({"big": 2**70}), "a message's meta cannot be sent"),
        (with_meta({"text": "\ud800"}), "a message's meta cannot be sent"),
        (with_meta({"much": bytes(300_000)}), "bytes of meta and tracking are over a message's bound"),
        (lambda: BytesMessage(MessageHeader(tracking=[1]), b"1"), "a message's tracking is a dict or None, not a list"),
        (lambda: BytesMessage(data="text"), "bytes-like object is required, not 'str'"),
        (lambda: BytesMessage("header", b""), "'str' object has no attribute 'meta'"),
        (lambda: message(bytes(1001)), "1,001 bytes of data are over a message's bound of 1,000"),
        (raising(StopIteration(1)), "StopIteration: 1"),
        (raising(StrangeError()), "StrangeError: its text cannot be read"),
        (raising(ValueError("\ud800")), "ValueError: \\ud800"),
        (raising(ValueError("x" * 10**6)), "ValueError: xxxx"),
    ],
)
def test_what_cannot_be_sent_is_an_error_of_that_message_alone(flow, value, error):
    out = Collected()
    nodes = {"s": source(numbers(3)), "m": node(returning(value), max_attempts=1, max_message=1000), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"]).run()
    assert out.ints == [0, 2]
    [dead] = made.dead()
    assert error in dead.error


def test_numbers_of_numpy_are_sent_as_plain_ones(flow):
    meta = {"i": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True), "a": np.arange(3), "n": {"x": [np.uint8(1)]}}
    out = Collected()
    nodes = {"s": source(numbers(2)), "m": node(returning(with_meta(meta))), "k": sink(out)}
    flow(nodes, ["s > m", "m > k"]).run()
    assert out.messages[1].meta == {"i": 3, "f": 0.5, "b": True, "a": [0, 1, 2], "n": {"x": [1]}}


def test_nothing_of_a_failing_call_is_sent(flow):
    @operator
    def half(inputs, parameters):
        return [message(b"1"), message(b"2"), "no good"]

    out = Collected()
    nodes = {"s": source(numbers(2)), "m": node(half, max_attempts=1), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"]).run()
    assert out.ints == []
    assert len(made.dead()) == 2


def test_a_generator_that_makes_much_sends_it_as_it_yields(flow):
    @operator
    def much(inputs, parameters):
        for n in range(40):
            yield message(bytes(50_000), n=n)

    out = Collected()
    flow({"s": source(numbers(2)), "m": node(much), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert [m.meta["n"] for m in out.messages] == [*range(40), *range(40)]


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xff\xff\xff", b"\x05\x00\x00\x00hello", wire.encode([])[:-1] + b"\xc0"],
    ids=["empty", "too-long", "no-head", "no-map"],
)
def test_a_malformed_batch_becomes_a_dead_letter(flow, payload):
    out = Collected()
    made = flow({"s": source(numbers(2)), "k": sink(out)}, ["s > k"])
    made.feed_raw("s", payload)
    made.run()
    assert out.ints == [0, 1]
    [dead] = made.dead()
    assert "WireError: not a batch of messages" in dead.error
    assert dead.message.data == payload
    assert dead.about["unreadable"] is True


@pytest.mark.parametrize(
    "about",
    [
        {"failure": 3},
        {"failure": {"attempts": "x"}},
        {"not_before": []},
        {"blob": 3, "chunks": 1},
        {"blob": "x", "chunks": -1},
        {"blob": "x", "chunks": 2**40},
    ],
)
def test_what_is_wrongly_said_about_a_batch_makes_it_a_dead_letter(flow, about):
    made = flow({"s": source(numbers(1)), "k": sink(Collected())}, ["s > k"])
    made.feed_raw("s", wire.encode([wire.pack(message(b"x"), *file("x.0"))], about))
    made.run()
    [dead] = made.dead()
    assert dead.error.startswith("WireError: ")


def test_an_unknown_version_of_the_wire_format_becomes_a_dead_letter(flow, monkeypatch):
    made = flow({"s": source(numbers(2)), "k": sink(Collected())}, ["s > k"])
    made.feed("s", [message(b"x")], ids=["x.0"])
    monkeypatch.setattr(wire, "FORMAT", "9 something")
    made.run()
    assert {dead.error for dead in made.dead()} == {
        "WireError: unknown wire format '3 msgpack': this version reads '9 something'"
    }


def test_only_a_few_tracebacks_of_the_same_error_are_logged(flow, caplog):
    @operator
    def bad(inputs, parameters):
        raise ValueError(f"no good: {inputs.data}")

    with caplog.at_level(logging.WARNING, "interactem.operator"):
        made = flow({"s": source(numbers(1)), "m": node(bad, max_attempts=1)}, ["s > m"])
        made.feed("s", [message(b"x")] * 500, ids=[f"x.{n}" for n in range(500)])
        made.run()
    logged = [record.getMessage() for record in caplog.records]
    assert len(made.dead()) == 501
    assert len([line for line in logged if "Traceback" in line]) <= 15
    assert sum(int(line.split()[0]) for line in logged if "more failures like it: ValueError" in line) >= 480


def test_many_events_go_into_few_reports(flow):
    @operator
    def bad(inputs, parameters):
        raise ValueError("no good" * 100)

    made = flow({"s": source(numbers(1)), "m": node(bad, max_attempts=1)}, ["s > m"])
    made.feed("s", [message(b"x")] * 500, ids=[f"x.{n}" for n in range(500)])
    made.run()
    told = omitted = 0
    while told + omitted < 501:  # until they have come
        reports = [report["events"] for report in made.backend.reports() if "events" in report]
        events = [event for report in reports for event in report]
        told = len([event for event in events if event["kind"] == "dead"])
        omitted = sum(event["events"] for event in events if event["kind"] == "omitted")
    assert told + omitted == 501
    assert 10 < told
    assert len(reports) < 50


@pytest.mark.parametrize("generator", [False, True])
def test_a_coroutine_is_cancelled_at_its_limit(flow, generator):
    @operator
    async def hang(inputs, parameters):
        if inputs.data == b"1":
            await asyncio.Event().wait()
        return inputs

    @operator
    async def hang_between(inputs, parameters):
        yield inputs
        if inputs.data == b"1":
            await asyncio.Event().wait()

    out = Collected()
    kernel = hang_between if generator else hang
    nodes = {"s": source(numbers(3)), "m": node(kernel, timeout=0.1, max_attempts=1), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"]).run()
    assert out.ints == ([0, 1, 2] if generator else [0, 2])
    assert [dead.error for dead in made.dead()] == ["TimeoutError: the kernel took longer than its limit of 0.1 s"]


def test_the_time_limit_is_armed_around_each_call_alone(flow):
    armed = []

    def finish(parameters):
        armed.append("finish")

    @operator(finish=finish)
    def work(inputs, parameters):
        armed.append(int(inputs.data))
        if inputs.data == b"1":
            raise ValueError("no good")

    made = flow({"s": source(numbers(3)), "k": sink(work, timeout=7.0, max_attempts=1)}, ["s > k"])
    made.start("s").join()
    made.start("k", arm=armed.append)
    made.finish()
    assert armed == [7.0, 0, 0, 7.0, 1, 0, 7.0, 2, 0, 7.0, "finish", 0]


def test_the_time_limit_of_a_source_is_for_each_message(flow):
    armed = []
    made = flow({"s": source(numbers(2), timeout=7.0), "k": sink(Collected())}, ["s > k"])
    made.start("s", arm=armed.append)
    made.start("k")
    made.finish()
    assert armed == [7.0, 0] * 3, "the third is the generator's end"


def leaving(inputs):
    if int(inputs.data) == 1:
        sys.exit("enough")
    if int(inputs.data) == 2:
        raise KeyboardInterrupt
    return inputs


def a_map(**mode):
    return operator(**mode)(lambda inputs: leaving(inputs))


def a_stream():
    @operator
    def kernel(inputs):
        yield leaving(inputs)

    return kernel


def a_coroutine(under=operator):
    async def kernel(inputs):
        return leaving(inputs)

    return under(kernel)


KERNELS = {
    "map": a_map(),
    "stream": a_stream(),
    "coroutine": a_coroutine(),
    "threads": a_map(threads=2),
    "concurrency": a_coroutine(operator(concurrency=2)),
    "batch": operator.batch(max_size=2)(lambda inputs: [leaving(one) for one in inputs]),
    "staged": operator.staged()(lambda inputs: leaving(inputs)),
    "staged coroutine": a_coroutine(operator.staged()),
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_what_would_end_a_program_is_a_failed_attempt(flow, kernel):
    out = Collected()
    made = flow({"s": source(numbers(4)), "m": node(kernel, max_attempts=2), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert sorted(out.ints) == [0, 3]
    assert [(dead.message.id, dead.error) for dead in made.dead()] == [
        ("s.1", "SystemExit: enough"),
        ("s.2", "KeyboardInterrupt"),
    ]


def test_a_source_that_would_end_its_program_is_tried_again(flow):
    raising = [SystemExit(3), KeyboardInterrupt()]

    @operator
    def read(inputs, parameters, context):
        for number in range(context.position, 4):
            if number == 2 and raising:
                raise raising.pop()
            yield message(str(number).encode())

    out = Collected()
    flow({"s": source(read), "k": sink(out)}, ["s > k"]).run()
    assert out.ints == [0, 1, 2, 3]

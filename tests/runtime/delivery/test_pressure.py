"""Where the broker is the slower one, or is gone for a while."""

from __future__ import annotations

import json
import threading
import time

import pytest
from delivery_harness import MEBIBYTE, WAIT, Collected, Flow, NatsBackend, message, node, numbers, sink, source

from interactem.runtime import operator


@pytest.mark.parametrize("size", [10, 40_000])
def test_a_full_stream_makes_the_sender_wait(flow, size):
    """Nothing is lost, doubled or reordered, and the sender gets only so far ahead."""
    sent = []
    gate = threading.Event()

    @operator
    def send(inputs, parameters, context):
        for number in range(1000):
            sent.append(number)
            yield message(b"%d" % number + bytes(size))

    @operator
    def count(inputs, parameters):
        gate.wait(WAIT)
        return message(inputs.data.rstrip(b"\0"))

    out = Collected()
    nodes = {"s": source(send), "m": node(count), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"], memory={"stream_batches": 5}, nats={"store_bytes": 8 * MEBIBYTE})
    made.start("s")
    while not sent:
        gate.wait(0.01)
    if size > 10:
        last = -1
        while last != len(sent):
            last = len(sent)
            gate.wait(0.3)
        assert len(sent) < 1000, "the sender waits"
    gate.set()
    made.start("m")
    made.start("k")
    made.finish()
    assert out.ints == list(range(1000))


def test_a_slow_reader_gets_small_batches(flow):
    @operator
    def slow(inputs, parameters):
        threading.Event().wait(0.02)
        return inputs

    out = Collected()
    flow({"s": source(numbers(60)), "m": node(slow, replicas=2), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert sorted(out.ints) == list(range(60))


@pytest.mark.broker
@pytest.mark.parametrize("kills", [1, 3])
def test_a_broker_killed_in_the_middle_loses_nothing(tmp_path, kills):
    """`kill -9`, and started again on the same store."""
    out = Collected()

    @operator
    def add(inputs, parameters, context):
        context.state["sum"] = context.state.get("sum", 0) + int(inputs.data)
        return inputs

    @operator
    def forward(inputs, parameters):
        return inputs

    nodes = {"s": source(numbers(20_000)), "m": node(add), "f": node(forward), "k": sink(out)}
    made = Flow(lambda plan: NatsBackend(plan, tmp_path), tmp_path, nodes, ["s > m", "m > f", "f > k"])
    try:
        made.start_all()
        for kill in range(kills):
            out.wait((kill + 1) * 1_000)
            made.backend.server.kill()
            made.backend.server.restart()
        made.finish()
        assert sorted(out.ints) == list(range(20_000))
        assert made.dead() == []
    finally:
        made.close()


@pytest.mark.broker
def test_what_is_told_between_two_connections_is_heard_with_the_next(tmp_path):
    out = Collected()
    nodes = {"s": source(numbers(3)), "k": sink(out)}
    made = Flow(lambda plan: NatsBackend(plan, tmp_path), tmp_path, nodes, ["s > k"])
    try:
        made.start_all()
        out.wait(3)
        while any(made.backend.outstanding().values()) or (0, 0) not in made.finished():
            threading.Event().wait(0.01)
        [sunk] = [running for running in made.running if running.operator.key == "k"]
        transport, control = sunk.transport, made.names.control(sunk.operator.index, ">")

        async def be_deaf() -> None:
            [heard] = [one for one in transport._client._subs.values() if one.subject == control]
            await heard.unsubscribe()
            await transport._client.flush()

        transport._call(be_deaf()).result(WAIT)
        made.tell_to_finish("k")
        transport._loop.call_soon_threadsafe(transport._reconnected)  # as when it is connected again
        made.finish()
        assert sorted(out.ints) == [0, 1, 2]
    finally:
        made.close()


def test_a_replica_finds_its_records_also_when_they_are_many(flow):
    """One for each message that ended a process; the broker's answer to one question is bounded."""
    out = Collected()
    made = flow({"s": source(numbers(1)), "k": sink(out)}, ["s > k"])
    index = made.operator("k").index
    for number in range(1100):
        crash = {"edge": 0, "id": f"x.{number}", "attempts": 3, "error": "it crashed"}
        made.backend.tell(made.names.control(index, f"crash.{number}"), json.dumps(crash).encode())
    made.feed("s", [message(b"1"), message(b"2")], ids=["x.1099", "x.2000"])
    made.run()
    assert sorted(out.ints) == [0, 2]
    assert [dead.message.id for dead in made.dead()] == ["x.1099"]


def test_a_reader_is_heard_in_the_middle_of_a_delivery(flow):
    """Else a replica that got much at once sends it on message by message, for as long as it takes."""
    heard, running = threading.Event(), []

    @operator
    def kernel(inputs):
        yield message(b"0")
        outbox = running[0].replica._outbox
        heard.wait(WAIT / 2)
        until = time.monotonic() + WAIT / 2
        while outbox.demand.unheard and time.monotonic() < until:
            time.sleep(0.005)
        yield message(str(outbox.demand.limits[0]).encode())

    out = Collected()

    @operator
    def take(inputs):
        heard.set()
        out.keep(inputs)

    made = flow({"s": source(numbers(1)), "m": node(kernel), "k": sink(take)}, ["s > m", "m > k"])
    made.start("k")
    running.append(made.start("m"))
    made.start("s")
    made.finish()
    assert [int(data) > 1 for data in out.data] == [False, True]

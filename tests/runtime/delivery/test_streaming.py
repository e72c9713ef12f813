"""What a generator yields is sent as it yields it, in every mode, and never gathered."""

from __future__ import annotations

import asyncio
import itertools
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import pytest
from delivery_harness import WAIT, Collected, message, node, numbers, sink, source

from interactem.runtime import BytesMessage, operator
from interactem.runtime.flight.flights import Flights
from interactem.runtime.flight.parts import MOST_BYTES, MOST_PARTS, Parts
from interactem.runtime.kernels import KERNEL
from interactem.runtime.loading import load

MODES = {
    "none": {},
    "ordered": {"ordered": True},
    "threads": {"threads": 3},
    "threads-ordered": {"threads": 3, "ordered": True},
}
ASYNC_MODES = {
    "none": {},
    "ordered": {"ordered": True},
    "concurrency": {"concurrency": 3},
    "concurrency-ordered": {"concurrency": 3, "ordered": True},
}


def part(inputs, index):
    return message(b"%d.%d" % (int(inputs.data), index))


def parts_of(count, each):
    return [b"%d.%d" % (number, index) for number in range(count) for index in range(each)]


@pytest.fixture
def program(tmp_path):
    """The operator in a `run.py` of this text."""
    before = list(sys.path), sys.modules.get("run")

    def write(text):
        path = tmp_path / "operator" / "run.py"
        path.parent.mkdir()
        path.write_text(textwrap.dedent(text))
        return SimpleNamespace(**{KERNEL: load(path)})

    yield write
    sys.path[:] = before[0]
    if before[1] is not None:
        sys.modules["run"] = before[1]


EDGES = ["s > m", "m > k"]


def run(flow, kernel, count, **options):
    out = Collected()
    return out, flow({"s": source(numbers(count)), "m": node(kernel, **options), "k": sink(out)}, EDGES).run()


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_what_is_yielded_is_there_before_the_call_is_over(flow, mode):
    out = Collected()

    @operator(**mode)
    def kernel(inputs, parameters):
        yield part(inputs, 0)
        out.wait(1, lambda m: m.data == b"%d.0" % int(inputs.data))
        yield [part(inputs, 1)]

    flow({"s": source(numbers(4)), "m": node(kernel), "k": sink(out)}, EDGES).run()
    assert sorted(out.data) == parts_of(4, 2)
    assert sorted(out.ids) == [f"s.{n}/0.{i}" for n in range(4) for i in range(2)]


@pytest.mark.parametrize("mode", ASYNC_MODES.values(), ids=ASYNC_MODES)
def test_what_is_yielded_asynchronously_is_there_too(flow, mode):
    out = Collected()

    @operator(**mode)
    async def kernel(inputs, parameters):
        yield part(inputs, 0)
        await asyncio.to_thread(out.wait, 1, lambda m: m.data == b"%d.0" % int(inputs.data))
        yield part(inputs, 1)

    flow({"s": source(numbers(4)), "m": node(kernel), "k": sink(out)}, EDGES).run()
    assert sorted(out.data) == parts_of(4, 2)


def test_a_worker_processs_is_there_too(flow, program, tmp_path):
    kernel = program("""
        import time
        from interactem.runtime import BytesMessage, operator

        @operator(processes=2)
        def kernel(inputs, parameters, context):
            number = bytes(inputs.data)
            yield BytesMessage(data=number + b".0")
            while not (context.outputs / number.decode()).exists():
                time.sleep(0.001)
            yield [BytesMessage(data=number + b".1")]
    """)
    out = Collected()

    @operator
    def write(inputs, parameters, context):
        out.keep(inputs)
        (context.outputs / inputs.data.decode().split(".")[0]).touch()

    flow({"s": source(numbers(4)), "m": node(kernel), "k": sink(write)}, EDGES).run()
    assert sorted(out.data) == parts_of(4, 2)
    assert sorted(out.ids) == [f"s.{n}/0.{i}" for n in range(4) for i in range(2)]


@pytest.mark.parametrize("mode", ["threads", "coroutines"])
def test_in_order_each_has_its_turn_and_is_held_till_then(flow, mode):
    yielded, stands, seen = itertools.count(), threading.Event(), []

    def note(inputs):
        """Before each yield; the event is set when this is the last that there is room for."""
        if int(inputs.data) == 1 and next(yielded) == MOST_PARTS - 1:
            stands.set()

    if mode == "threads":

        @operator(threads=3, ordered=True)
        def kernel(inputs, parameters):
            if int(inputs.data) == 0:
                stands.wait(WAIT)
                time.sleep(0.05)
                seen.append(next(yielded))
            for index in range(200):
                note(inputs)
                yield part(inputs, index)

    else:

        @operator(concurrency=3, ordered=True)
        async def kernel(inputs, parameters):
            if int(inputs.data) == 0:
                await asyncio.to_thread(stands.wait, WAIT)
                await asyncio.sleep(0.05)
                seen.append(next(yielded))
            for index in range(200):
                note(inputs)
                yield part(inputs, index)

    out, _ = run(flow, kernel, 4)
    assert out.data == parts_of(4, 200)
    assert seen == [MOST_PARTS]


def test_in_order_what_fails_gets_its_turn_though_those_behind_it_stand(flow):
    @operator(threads=2, ordered=True)
    def kernel(inputs, parameters, context):
        if int(inputs.data) in (0, 3, 4) and context.attempt < 3:
            raise ValueError("not yet")
        for index in range(150):
            yield part(inputs, index)

    out, made = run(flow, kernel, 8)
    assert out.data == parts_of(8, 150)
    assert made.counts("m")["retried"] == 6


def test_in_order_what_has_failed_keeps_its_room_before_anybody_knows(flow, monkeypatch):
    """Its call is over, and nobody has looked at what has come of it, when the next one could begin."""
    begin, looked_at = Flights._begin_flights, threading.Event()

    def begin_late(flights):
        first = [flight for flight in flights._flying if flight.items[0].place == 0]
        if first and len(flights._flying) == 2 and flights._queue.waiting and not looked_at.is_set():
            looked_at.set()
            until = time.monotonic() + WAIT
            while first[0] not in flights._landed and time.monotonic() < until:
                time.sleep(0.001)
        begin(flights)

    @operator(threads=2, ordered=True)
    def kernel(inputs, parameters, context):
        if int(inputs.data) == 0 and context.attempt == 1:
            assert looked_at.wait(WAIT)
            raise ValueError("not yet")
        for index in range(MOST_PARTS + 1):
            yield part(inputs, index)

    monkeypatch.setattr(Flights, "_begin_flights", begin_late)
    out, made = run(flow, kernel, 4)
    assert out.data == parts_of(4, MOST_PARTS + 1)
    assert made.counts("m")["retried"] == 1


@pytest.mark.parametrize("mode", [{"threads": 2}, {"threads": 2, "ordered": True}, {"ordered": True}, {}])
def test_a_call_that_fails_after_it_has_yielded_makes_the_same_again(flow, mode):
    @operator(**mode)
    def kernel(inputs, parameters, context):
        for index in range(100):
            yield part(inputs, index)
            if index == 70 and context.attempt == 1:
                raise ValueError("half of it")

    out, made = run(flow, kernel, 4)
    assert sorted(out.data) == sorted(parts_of(4, 100))
    assert len(set(out.ids)) == len(out.ids)
    assert made.counts("m")["retried"] == 4
    assert made.dead() == []


ENDLESS = """
    from interactem.runtime import operator

    @operator({mode})
    def kernel(inputs, parameters, context):
        number = 0
        try:
            while True:
                yield inputs if number < 100 else inputs.to("nowhere")
                number += 1
        finally:
            (context.outputs / "closed").touch()
"""


@pytest.mark.parametrize("mode", ["", "threads=2", "ordered=True", "threads=2, ordered=True", "processes=1"])
def test_what_cannot_be_sent_ends_the_call(flow, program, tmp_path, mode):
    out, made = run(flow, program(ENDLESS.format(mode=mode)), 1, max_attempts=1)
    assert len(out.data) == 100
    [dead] = made.dead()
    assert "no output port 'nowhere'" in dead.error
    assert (tmp_path / "closed").exists()


def test_what_a_worker_yields_is_not_gathered(flow, program, tmp_path):
    kernel = program("""
        from interactem.runtime import BytesMessage, operator

        @operator(processes=2, ordered=True)
        def kernel(inputs, parameters, context):
            number = int(inputs.data)
            if number == 0:
                import time
                while not (context.outputs / "stands").exists():
                    time.sleep(0.001)
                time.sleep(0.1)
                (context.outputs / "seen").write_bytes((context.outputs / "yielded").read_bytes())
            for index in range(500):
                if number == 1:
                    (context.outputs / "written").write_text(str(index))
                    (context.outputs / "written").rename(context.outputs / "yielded")  # never seen half written
                    if index == 63:
                        (context.outputs / "stands").touch()
                yield BytesMessage(data=b"%d.%d" % (number, index))
    """)
    out, _ = run(flow, kernel, 2)
    assert out.data == parts_of(2, 500)
    assert int((tmp_path / "seen").read_text()) < 2 * MOST_PARTS


def test_a_worker_that_dies_after_it_has_yielded_costs_an_attempt(flow, program):
    kernel = program("""
        import os
        from interactem.runtime import BytesMessage, operator

        @operator(processes=2)
        def kernel(inputs, parameters, context):
            for index in range(50):
                yield BytesMessage(data=b"%d.%d" % (int(inputs.data), index))
                if index == 30 and inputs.data == b"2" and context.attempt == 1:
                    os.kill(os.getpid(), 9)
    """)
    out, made = run(flow, kernel, 5)
    assert sorted(out.data) == sorted(parts_of(5, 50))
    assert made.counts("m")["retried"] == 1


def test_an_asynchronous_generator_has_its_limit_for_the_whole_call(flow):
    @operator(concurrency=2)
    async def kernel(inputs, parameters):
        while True:
            await asyncio.sleep(0.02)
            yield inputs
            if int(inputs.data):
                return

    out, made = run(flow, kernel, 3, timeout=0.5, max_attempts=1)
    assert {1, 2} <= set(out.ints)
    [dead] = made.dead()
    assert (dead.message.id, dead.error) == ("s.0", "TimeoutError: the kernel took longer than its limit of 0.5 s")


def test_a_trigger_comes_though_calls_stand_behind_one_that_is_tried_again(flow):
    failed = threading.Event()

    @operator(threads=3, ordered=True)
    def kernel(inputs, parameters, context):
        if context.trigger:
            yield message(b"poked")
            return
        if int(inputs.data) == 0 and context.attempt == 1:
            failed.set()
            raise ValueError("not yet")
        for index in range(150):
            yield part(inputs, index)

    out = Collected()
    made = flow({"s": source(numbers(6)), "m": node(kernel), "k": sink(out)}, EDGES)
    made.start_all()
    assert failed.wait(WAIT)
    assert made.poke("m", "tell")["calls"] == 1
    made.finish()
    assert [data for data in out.data if data != b"poked"] == parts_of(6, 150)


@pytest.mark.parametrize("mode", [{"threads": 2}, {"threads": 2, "ordered": True}])
def test_a_replica_that_stops_ends_calls_that_never_would(flow, mode):
    closed = []

    @operator(**mode)
    def kernel(inputs, parameters, context):
        try:
            for index in itertools.count():
                yield part(inputs, index)
        finally:
            closed.append(inputs.data)

    out = Collected()
    made = flow({"s": source(numbers(2)), "m": node(kernel), "k": sink(out)}, EDGES)
    made.start_all()
    out.wait(200)
    [replica] = [running for running in made.running if running.operator.key == "m"]
    replica.replica.stop()
    replica.join()
    assert replica.error is None
    assert sorted(closed) == [b"0", b"1"]


def test_a_generator_stands_after_so_many_parts_or_bytes():
    told = []
    parts = Parts(lambda: told.append(1))
    assert [parts.add(BytesMessage(data=b"x")) for _ in range(MOST_PARTS)] == [True] * (MOST_PARTS - 1) + [False]
    gone_on = []
    parts.when_room(lambda: gone_on.append(1))
    assert gone_on == []
    assert len(parts.take()) == MOST_PARTS
    assert (told, gone_on) == ([1], [1])
    assert not parts.add([BytesMessage(data=bytes(MOST_BYTES)), None])
    parts.when_room(lambda: gone_on.append(2))
    parts.end()
    assert (told, gone_on, parts.ended) == ([1, 1], [1, 2], True)

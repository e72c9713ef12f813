"""Several calls of one kernel at once: threads, coroutines, worker processes; and order, where it is asked for."""

from __future__ import annotations

import asyncio
import json
import logging
import threading

import pytest
from delivery_harness import WAIT, Collected, Crash, crash_at, message, node, numbers, sink, source

from interactem.runtime import Context, Operator, dependencies, operator
from interactem.runtime.logs import Carrying


def twice(one):
    return message(str(2 * int(one.data)).encode())


class Meeting:
    """Calls that wait until as many of them go on at once as there should be."""

    def __init__(self, width: int) -> None:
        self.barrier = threading.Barrier(width, timeout=WAIT)
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __enter__(self):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *error):
        with self.lock:
            self.now -= 1


def run(flow, kernel, count=12, **options):
    out = Collected()
    nodes = {"s": source(numbers(count)), "m": node(kernel, **options), "k": sink(out)}
    return out, flow(nodes, ["s > m", "m > k"]).run()


@operator(threads=3)
def in_threads(inputs, parameters):
    return twice(inputs)


@operator(threads=3, ordered=True)
def in_threads_and_order(inputs, parameters):
    return twice(inputs)


@operator(concurrency=3)
async def at_once(inputs, parameters):
    await asyncio.sleep(0)
    return twice(inputs)


@operator(concurrency=3, ordered=True)
async def streamed_at_once(inputs, parameters):
    await asyncio.sleep(0)
    yield twice(inputs)


@operator(threads=2)
def streamed(inputs, parameters):
    yield [twice(inputs)]


@operator(ordered=True)
def in_order(inputs, parameters):
    return twice(inputs)


@operator.batch(max_size=3, threads=2)
def batches_in_threads(inputs, parameters):
    return [twice(one) for one in inputs]


@operator.batch(max_size=3, concurrency=2, ordered=True)
async def batches_at_once(inputs, parameters):
    await asyncio.sleep(0)
    return [twice(one) for one in inputs]


KERNELS = [
    in_threads,
    in_threads_and_order,
    at_once,
    streamed_at_once,
    streamed,
    in_order,
    batches_in_threads,
    batches_at_once,
]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_every_mode_maps_messages_and_gives_them_the_same_ids(flow, kernel):
    out, made = run(flow, kernel, 50)
    assert sorted(zip(out.ints, out.ids, strict=True)) == [(2 * n, f"s.{n}/0.0") for n in range(50)]
    counts = made.counts("m")
    assert (counts["received"], counts["sent"], counts["waiting"]) == (50, 50, 0)


def test_as_many_calls_go_on_at_once_as_there_are_threads(flow):
    meeting = Meeting(4)

    @operator(threads=4)
    def kernel(inputs, parameters):
        with meeting:
            meeting.barrier.wait()
        return inputs

    out, _ = run(flow, kernel, 12)
    assert sorted(out.ints) == list(range(12))
    assert meeting.most == 4


def test_as_many_coroutines_go_on_at_once_as_may(flow):
    going, most = [], []
    four = asyncio.Event()

    @operator(concurrency=4)
    async def kernel(inputs, parameters):
        going.append(1)
        most.append(len(going))
        if len(most) == 4:
            four.set()
        await four.wait()
        going.pop()
        return inputs

    out, _ = run(flow, kernel, 12)
    assert sorted(out.ints) == list(range(12))
    assert max(most) == 4


def held_back(kind: str):
    """A kernel in order, the first of whose calls ends last."""
    others = threading.Semaphore(0)

    def body(number):
        if number == 0:
            for _ in range(3):
                others.acquire(timeout=WAIT)
        elif number < 4:
            others.release()

    if kind == "threads":

        @operator(threads=4, ordered=True)
        def kernel(inputs, parameters):
            body(int(inputs.data))
            return inputs

    else:

        @operator(concurrency=4, ordered=True)
        async def kernel(inputs, parameters):
            await asyncio.to_thread(body, int(inputs.data))
            return inputs

    return kernel


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_in_order_results_leave_as_their_messages_came(flow, kind):
    out, _ = run(flow, held_back(kind), 20)
    assert out.ints == list(range(20))


def test_in_order_a_failing_message_is_tried_again_in_its_place(flow):
    @operator(threads=4, ordered=True)
    def kernel(inputs, parameters, context):
        if int(inputs.data) in (3, 7) and context.attempt < 3:
            raise ValueError("not yet")
        return inputs

    out, made = run(flow, kernel, 30)
    assert out.ints == list(range(30))
    assert made.counts("m")["retried"] == 4
    assert [e["attempts"] for e in made.events(4) if e["id"] == "s.3"] == [1, 2]


def test_in_order_a_message_that_fails_for_good_lets_the_others_go(flow):
    @operator(threads=4, ordered=True)
    def kernel(inputs, parameters):
        if int(inputs.data) == 3:
            raise ValueError("never")
        return inputs.to("nowhere") if int(inputs.data) == 5 else inputs

    out, made = run(flow, kernel, 30, max_attempts=2)
    assert out.ints == [n for n in range(30) if n not in (3, 5)]
    assert [(dead.message.id, dead.attempts) for dead in made.dead()] == [("s.3", 2), ("s.5", 2)]


def test_a_message_that_fails_is_tried_again_and_its_neighbours_go_on(flow):
    @operator(threads=4)
    def kernel(inputs, parameters, context):
        if int(inputs.data) % 5 == 0 and context.attempt < 3:
            raise ValueError("not yet")
        if int(inputs.data) == 7:
            raise ValueError("never")
        return inputs

    out, made = run(flow, kernel, 20)
    assert sorted(out.ints) == [n for n in range(20) if n != 7]
    [dead] = made.dead()
    assert (dead.message.id, dead.attempts, dead.error) == ("s.7", 3, "ValueError: never")
    assert 'raise ValueError("never")' in dead.about["failure"]["traceback"]


@pytest.mark.parametrize("mode", ["threads", "coroutines"])
def test_each_call_has_a_context_of_its_own(flow, mode, caplog):
    carrying = Carrying(Context("m"))
    caplog.handler.addFilter(carrying)
    caplog.set_level(logging.INFO)
    seen = []

    def note(context, number):
        folder = context.folder
        (folder / "mine").write_text(number)
        context.logger.info("at %s", number)
        return folder

    def check(context, number, folder):
        assert folder == context.folder
        assert (folder / "mine").read_text() == number
        assert context.message.data == number.encode()
        seen.append((context.message_id, context.attempt, number, folder))

    barrier = threading.Barrier(2, timeout=WAIT)

    if mode == "threads":

        @operator(threads=2)
        def kernel(inputs, parameters, context):
            number = inputs.data.decode()
            folder = note(context, number)
            barrier.wait()
            check(context, number, folder)

    else:

        @operator(concurrency=2)
        async def kernel(inputs, parameters, context):
            number = inputs.data.decode()
            folder = note(context, number)
            await asyncio.to_thread(barrier.wait)
            check(context, number, folder)

    made = flow({"s": source(numbers(4)), "m": node(kernel)}, ["s > m"]).run()
    caplog.handler.removeFilter(carrying)
    assert made.dead() == []
    assert sorted((name, attempt, number) for name, attempt, number, _ in seen) == [
        (f"s.{n}", 1, str(n)) for n in range(4)
    ]
    assert len({folder for *_, folder in seen}) == 4
    assert not any(folder.exists() for *_, folder in seen)
    told = {(record.message_id, record.getMessage()) for record in caplog.records if record.msg == "at %s"}
    assert told == {(f"s.{n}", f"at {n}") for n in range(4)}


def test_a_class_with_threads_sees_the_context_of_each_call(flow):
    barrier = threading.Barrier(2, timeout=WAIT)

    @operator(threads=2)
    class Named(Operator):
        def start(self):
            self.started = 1

        def run(self, inputs):
            barrier.wait()
            return message(inputs.data, name=self.context.message_id, started=self.started)

    out, _ = run(flow, Named, 4)
    assert sorted((m.data.decode(), m.meta["name"], m.meta["started"]) for m in out.messages) == [
        (str(n), f"s.{n}", 1) for n in range(4)
    ]


@pytest.mark.parametrize("mode", ["threads", "coroutines"])
def test_calls_at_once_have_no_state(flow, mode):
    if mode == "threads":

        @operator(threads=2)
        def kernel(inputs, parameters, context):
            context.state["n"] = 1

    else:

        @operator(concurrency=2)
        async def kernel(inputs, parameters, context):
            context.state["n"] = 1

    made = flow({"s": source(numbers(1)), "m": node(kernel)}, ["s > m"])
    running = made.start("m")
    made.start("s")
    running.join()
    assert "m uses context.state with" in str(running.error)


def test_a_sink_in_threads_has_each_effect_once_though_copies_come_at_once(flow):
    seen = []
    barrier = threading.Barrier(4, timeout=WAIT)

    @operator(threads=4)
    def write(inputs, parameters):
        seen.append(int(inputs.data))
        if int(inputs.data) < 4:
            barrier.wait()

    made = flow({"s": source(numbers(0)), "k": sink(write)}, ["s > k"])
    for _ in range(3):
        made.feed("s", [message(str(n).encode()) for n in range(20)], ids=[f"x.{n}" for n in range(20)])
    made.run()
    assert sorted(seen) == list(range(20))


@pytest.mark.parametrize("ordered", [False, True])
def test_what_was_in_flight_when_the_process_died_is_tried_alone(flow, ordered):
    going, alone = [], []
    barrier = threading.Barrier(4, timeout=WAIT)

    @operator(threads=4, ordered=ordered)
    def deadly(inputs, parameters, context):
        number = int(inputs.data)
        if context.attempt == 1 and number < 4:
            barrier.wait()
            if number == 2:
                died.set()  # as the whole process does: the others do not come to an end
            never.wait(WAIT)
            return None
        going.append(number)
        if number < 4:
            alone.append(len(going))
        if number == 2:
            going.remove(number)
            raise Crash
        going.remove(number)
        return inputs

    died, never = threading.Event(), threading.Event()
    out = Collected()
    nodes = {"s": source(numbers(20)), "m": node(deadly, max_attempts=3), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"])
    first = made.start("m")
    made.start("s")
    made.start("k")
    assert died.wait(WAIT)
    made.record_crash(first)
    made.backend.abandon(first.transport, first.slot)
    first.replica.stop()
    made.running.remove(first)
    made.start("m")
    made.finish()
    never.set()
    first.join()
    ints = list(dict.fromkeys(out.ints))
    assert sorted(ints) == [n for n in range(20) if n != 2]
    assert alone == [1] * len(alone)
    [dead] = made.dead()
    assert (dead.message.id, dead.attempts) == ("s.2", 3)


def test_a_thread_that_ends_its_process_costs_its_own_message_alone_an_attempt(flow):
    @operator(threads=4)
    def deadly(inputs, parameters):
        if int(inputs.data) == 5:
            raise Crash
        return inputs

    out, made = run(flow, deadly, 20, max_attempts=1)
    assert sorted(set(out.ints)) == [n for n in range(20) if n != 5]
    assert [(dead.message.id, dead.attempts) for dead in made.dead()] == [("s.5", 1)]


@pytest.mark.parametrize("step", range(0, 12, 3))
@pytest.mark.parametrize("kernel", [in_threads, batches_in_threads], ids=lambda kernel: kernel.__name__)
def test_a_crash_anywhere_loses_nothing_and_doubles_nothing(flow, step, kernel):
    out = Collected()
    made = flow({"s": source(numbers(40)), "m": node(kernel, max_attempts=0), "k": sink(out)}, ["s > m", "m > k"])
    prepare, _ = crash_at(step, before=bool(step % 2))
    made.start("m", prepare=prepare)
    made.start_all(but=("m",))
    made.finish()
    assert sorted(out.ints) == list(range(0, 80, 2))


def test_a_call_that_takes_too_long_ends_the_process_and_is_the_only_one_to_blame(flow):
    armed = []
    never = threading.Event()

    def arm(seconds):
        if seconds and seconds < 0.01:
            armed.append(seconds)
            raise Crash

    @operator(threads=3)
    def slow(inputs, parameters):
        if int(inputs.data) == 1:
            never.wait(WAIT)
        return inputs

    out = Collected()
    nodes = {"s": source(numbers(6)), "m": node(slow, timeout=0.2, max_attempts=1), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"])
    made.start("m", arm=arm)
    made.start_all(but=("m",))
    made.finish()
    never.set()
    assert armed
    assert sorted(set(out.ints)) == [0, 2, 3, 4, 5]
    assert [dead.message.id for dead in made.dead()] == ["s.1"]


def test_a_coroutine_that_takes_too_long_fails_alone(flow):
    @operator(concurrency=3)
    async def slow(inputs, parameters):
        if int(inputs.data) == 1:
            await asyncio.sleep(WAIT)
        return inputs

    out, made = run(flow, slow, 6, timeout=0.2, max_attempts=1)
    assert sorted(out.ints) == [0, 2, 3, 4, 5]
    [dead] = made.dead()
    assert dead.error == "TimeoutError: the kernel took longer than its limit of 0.2 s"


def test_dependencies_share_the_loop_of_coroutines_that_run_at_once(flow):
    loops = []

    @dependencies
    async def around():
        loops.append(asyncio.get_running_loop())
        yield
        loops.append(asyncio.get_running_loop())

    @operator(concurrency=2)
    async def kernel(inputs, parameters):
        loops.append(asyncio.get_running_loop())
        return inputs

    from dataclasses import replace

    from interactem.runtime.kernels import KERNEL

    setattr(kernel, KERNEL, replace(getattr(kernel, KERNEL), dependencies=(around,)))
    out, _ = run(flow, kernel, 5)
    assert sorted(out.ints) == list(range(5))
    assert len(loops) == 7
    assert len(set(loops)) == 1


def test_a_trigger_comes_between_calls(flow):
    inside = []

    @operator(threads=3)
    def kernel(inputs, parameters, context):
        if context.trigger:
            assert not inside
            return message(b"-1")
        inside.append(1)
        inside.pop()
        return inputs

    out = Collected()
    made = flow({"s": source(numbers(20)), "m": node(kernel), "k": sink(out)}, ["s > m", "m > k"])
    made.start_all(but=("s",))
    answer = made.poke("m", "tell")
    made.start("s")
    made.finish()
    assert (answer["calls"], answer["sent"]) == (1, 1)
    assert sorted(out.ints) == list(range(-1, 20))


def test_a_copy_waits_for_the_first_though_that_has_ended_a_process(flow):
    seen = []

    @operator(threads=2, ordered=True)
    def write(inputs, parameters, context):
        seen.append((int(inputs.data), context.attempt))

    made = flow({"s": source(numbers(0)), "k": sink(write)}, ["s > k"])
    [reader] = made.operator("k").assignment.inputs
    crash = {"edge": reader.edge, "id": "s.0", "attempts": 1, "error": "killed"}
    made.backend.tell(made.names.crash(made.operator("k").index, reader.edge, "s.0"), json.dumps(crash).encode())
    for ids in (["s.0", "s.1"], ["s.0", "s.2"]):
        made.feed("s", [message(name[2:].encode()) for name in ids], ids=ids)
    made.run()
    assert sorted(seen) == [(0, 2), (1, 1), (2, 1)]

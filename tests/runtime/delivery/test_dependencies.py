"""What is set up before the first call is there for every call, and torn down when there are no more."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from delivery_harness import Collected, message, node, numbers, sink, source

from interactem.runtime import dependencies, operator
from interactem.runtime.dependencies import dependencies_in
from interactem.runtime.errors import SetUpError
from interactem.runtime.kernels import KERNEL


def with_its(kernel, *functions):
    """The kernel as it comes out of a `run.py` that has these functions under `@dependencies` in it."""
    found = dependencies_in({function.__name__: function for function in functions})
    setattr(kernel, KERNEL, replace(getattr(kernel, KERNEL), dependencies=found))
    return kernel


def chain(flow, kernel, count=5, **options):
    out = Collected()
    made = flow({"s": source(numbers(count)), "m": node(kernel, **options), "k": sink(out)}, ["s > m", "m > k"])
    return made, out


def test_they_are_set_up_in_order_and_torn_down_in_the_opposite_one(flow):
    log = []

    @dependencies
    def first():
        log.append("first up")
        yield
        log.append("first down")

    @dependencies
    def second(context):
        log.append(f"second up for {context.operator}.{context.replica}")
        yield
        log.append("second down")

    @operator
    def kernel(inputs, parameters):
        log.append(int(inputs.data))
        return inputs

    made, out = chain(flow, with_its(kernel, first, second), count=3)
    made.run()
    assert log == ["first up", "second up for m.0", 0, 1, 2, "second down", "first down"]
    assert out.ints == [0, 1, 2]


def test_they_are_torn_down_before_the_engine_knows_that_the_replica_is_done(flow):
    done_at_tear_down = []

    @dependencies
    def resource():
        yield
        done_at_tear_down.append(made.finished())

    @operator
    def kernel(inputs, parameters):
        return inputs

    made, _ = chain(flow, with_its(kernel, resource))
    made.run()
    assert done_at_tear_down == [{(0, 0)}]


def test_a_coroutine_shares_its_event_loop_with_them_and_it_goes_on_between_calls(flow):
    beats, seen = threading.Semaphore(0), []

    @dependencies
    def heart():
        async def beat():
            while True:
                beats.release()
                await asyncio.sleep(0.001)

        task = asyncio.create_task(beat())
        seen.append(asyncio.get_running_loop())
        yield
        seen.append(asyncio.get_running_loop())
        task.cancel()

    @operator
    async def kernel(inputs, parameters):
        seen.append(asyncio.get_running_loop())
        return inputs

    made, out = chain(flow, with_its(kernel, heart), count=2)
    made.start("m")
    for _ in range(5):
        assert beats.acquire(timeout=30)  # nobody has called the kernel yet
    made.start("s")
    made.start("k")
    made.finish()
    assert out.ints == [0, 1]
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_an_asynchronous_generator_serves_a_plain_kernel_too(flow):
    log = []

    @dependencies
    async def resource():
        await asyncio.sleep(0)
        log.append("up")
        yield
        await asyncio.sleep(0)
        log.append("down")

    @operator
    def kernel(inputs, parameters):
        log.append(threading.current_thread().name)
        return inputs

    made, out = chain(flow, with_its(kernel, resource), count=1)
    made.run()
    assert log == ["up", "m.0", "down"]
    assert out.ints == [0]


def test_a_coroutine_with_dependencies_keeps_its_time_limit(flow):
    @dependencies
    def resource():
        yield

    @operator
    async def kernel(inputs, parameters):
        await asyncio.sleep(30 if inputs.data == b"1" else 0)
        return inputs

    made, out = chain(flow, with_its(kernel, resource), count=3, timeout=0.2, max_attempts=1)
    made.run()
    assert out.ints == [0, 2]
    assert [letter.error for letter in made.dead()] == ["TimeoutError: the kernel took longer than its limit of 0.2 s"]


def test_what_means_to_end_the_process_fails_its_attempt_in_a_loop_of_its_own_too(flow):
    @dependencies
    def resource():
        yield

    @operator
    async def kernel(inputs, parameters):
        if inputs.data == b"1":
            raise SystemExit(7)
        return inputs

    made, out = chain(flow, with_its(kernel, resource), count=3)
    made.run()
    assert sorted(out.ints) == [0, 2]
    assert [letter.error for letter in made.dead()] == ["SystemExit: 7"]


def test_a_set_up_that_raises_ends_the_replica_and_what_was_set_up_is_torn_down(flow):
    log = []

    @dependencies
    def first():
        yield
        log.append("first down")

    @dependencies
    def second():
        raise OSError("no camera")
        yield

    @operator
    def kernel(inputs, parameters):
        log.append("called")

    made, _ = chain(flow, with_its(kernel, first, second))
    running = made.start("m")
    running.join()
    assert isinstance(running.error, SetUpError)
    assert str(running.error) == "second: its set-up failed: OSError: no camera"
    assert log == ["first down"]


def test_a_set_up_without_a_yield_at_run_time_is_an_error(flow):
    @dependencies
    def nothing():
        if len(made.nodes) == 0:
            yield

    @operator
    def kernel(inputs, parameters):
        return inputs

    made, _ = chain(flow, with_its(kernel, nothing))
    running = made.start("m")
    running.join()
    assert str(running.error) == "nothing: its set-up failed: RuntimeError: it ended before its yield"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_tear_down_that_fails_is_logged_and_the_others_are_called(flow, caplog, asynchronous):
    log = []

    @dependencies
    def first():
        yield
        log.append("first down")

    @dependencies
    def second():
        yield
        raise OSError("the camera hangs")

    @dependencies
    def third():
        yield
        yield

    if asynchronous:

        @operator
        async def kernel(inputs, parameters):
            return inputs
    else:

        @operator
        def kernel(inputs, parameters):
            return inputs

    made, out = chain(flow, with_its(kernel, first, second, third), count=1)
    made.run()
    assert out.ints == [0]
    assert log == ["first down"]
    assert "second: its tear-down failed" in caplog.text
    assert "OSError: the camera hangs" in caplog.text
    assert "RuntimeError: it yields more than once" in caplog.text


def test_a_replica_that_is_stopped_tears_down_and_the_next_one_sets_up_anew(flow):
    log = []

    @dependencies
    def resource():
        log.append("up")
        yield
        log.append("down")

    @operator
    def kernel(inputs, parameters):
        return message(inputs.data)

    made, out = chain(flow, with_its(kernel, resource), count=4)
    running = made.start("m")
    running.replica.stop()
    running.join()
    made.abandon(running)
    assert log == ["up", "down"]
    made.run()
    assert out.ints == [0, 1, 2, 3]
    assert log == ["up", "down", "up", "down"]

"""Kernels in worker processes: each imports `run.py` itself, and one that dies costs an attempt of what it had."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from types import SimpleNamespace

import numpy as np
import pytest
from delivery_harness import WAIT, Collected, message, naming, node, numbers, side_input, sink, source

from interactem.runtime import BytesMessage, EndOfStream, operator
from interactem.runtime.errors import SetUpError
from interactem.runtime.kernels import KERNEL
from interactem.runtime.loading import load
from interactem.runtime.triggers import Poke

HEAD = """
    import os
    from interactem.runtime import BytesMessage, Operator, dependencies, operator
"""


@pytest.fixture
def program(tmp_path):
    """The operator in a `run.py` of this text."""
    before = list(sys.path), sys.modules.get("run")

    def write(text):
        path = tmp_path / "operator" / "run.py"
        path.parent.mkdir()
        path.write_text(textwrap.dedent(HEAD) + textwrap.dedent(text))
        return SimpleNamespace(**{KERNEL: load(path)})

    yield write
    sys.path[:] = before[0]
    if before[1] is not None:
        sys.modules["run"] = before[1]


def run(flow, kernel, count=12, **options):
    out = Collected()
    nodes = {"s": source(numbers(count)), "m": node(kernel, **options), "k": sink(out)}
    return out, flow(nodes, ["s > m", "m > k"]).run()


def test_each_worker_is_a_process_with_dependencies_of_its_own(flow, program):
    kernel = program("""
        set_up = []

        @dependencies
        def around(context):
            set_up.append(os.getpid())
            yield

        @operator(processes=2)
        def double(inputs, parameters, context):
            context.counter("calls")
            assert set_up == [os.getpid()]
            (context.folder / "mine").touch()
            data = str(2 * int(inputs.data)).encode()
            answer = BytesMessage(data=data)
            answer.meta.update(pid=os.getpid(), id=context.message_id, level=parameters["level"])
            return answer
    """)
    out, made = run(flow, kernel, 40, parameters={"level": 3})
    assert sorted(out.ints) == list(range(0, 80, 2))
    assert sorted((m.id, m.meta["id"]) for m in out.messages) == sorted((f"s.{n}/0.0", f"s.{n}") for n in range(40))
    assert 1 <= len({m.meta["pid"] for m in out.messages} - {os.getpid()}) <= 2
    assert {m.meta["level"] for m in out.messages} == {3}
    assert made.dead() == []


def test_large_arrays_go_there_and_back(flow, program):
    kernel = program("""
        @operator.batch(max_size=3, processes=2, ordered=True)
        def double(inputs, parameters):
            for one in inputs:
                assert not one.array.flags.writeable
                yield one, [BytesMessage.from_array(2 * one.array, first=1), BytesMessage(one.header, one.data)]
    """)

    @operator
    def arrays(inputs, parameters):
        for number in range(5):
            yield BytesMessage.from_array(np.full((300, 300), number), n=number)

    out = Collected()
    made = flow({"s": source(arrays), "m": node(kernel), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert made.dead() == []
    assert [(int(m.array.min()), int(m.array.max())) for m in out.messages] == [
        (times * n, times * n) for n in range(5) for times in (2, 1)
    ]
    assert [m.meta.get("n", m.meta.get("first")) for m in out.messages] == [x for n in range(5) for x in (1, n)]


def test_a_worker_that_dies_costs_one_attempt_of_one_message(flow, program):
    kernel = program("""
        @operator(processes=2)
        def deadly(inputs, parameters, context):
            number = int(inputs.data)
            if number == 3 and context.attempt == 1:
                os.kill(os.getpid(), 9)
            if number == 5:
                os._exit(7)
            return inputs
    """)
    out, made = run(flow, kernel, 12, max_attempts=2)
    assert sorted(out.ints) == [n for n in range(12) if n != 5]
    [dead] = made.dead()
    assert (dead.message.id, dead.attempts) == ("s.5", 2)
    assert dead.error == "WorkerError: its worker process has ended with exit code 7 while it had this message"
    assert sorted((e["id"], e["attempts"]) for e in made.events(3)) == [("s.3", 1), ("s.5", 1), ("s.5", 2)]


def test_what_a_worker_raises_comes_with_its_traceback(flow, program):
    kernel = program("""
        @operator(processes=1)
        def failing(inputs, parameters):
            number = int(inputs.data)
            if number == 1:
                raise ValueError("no good")
            return "text" if number == 2 else inputs.to("nowhere") if number == 3 else inputs
    """)
    out, made = run(flow, kernel, 5, max_attempts=1)
    assert out.ints == [0, 4]
    first, second, third = made.dead()
    assert first.error == "ValueError: no good"
    assert 'raise ValueError("no good")' in first.about["failure"]["traceback"]
    assert "the kernel returned a builtins.str" in second.error
    assert "no output port 'nowhere'" in third.error


def test_a_call_that_takes_too_long_ends_its_worker_alone(flow, program):
    kernel = program("""
        import time

        @operator(processes=2)
        def slow(inputs, parameters):
            if int(inputs.data) == 1:
                time.sleep(60)
            return inputs
    """)
    out, made = run(flow, kernel, 6, timeout=0.5, max_attempts=1)
    assert sorted(out.ints) == [0, 2, 3, 4, 5]
    [dead] = made.dead()
    assert "longer than its limit of 0.5 s" in dead.error


def test_a_class_lives_in_each_worker(flow, program):
    kernel = program("""
        @operator(processes=2)
        class Counting(Operator):
            def start(self):
                self.factor = self.init_data.get("factor", 2)

            async def run(self, inputs):
                return BytesMessage(data=str(self.factor * int(inputs.data)).encode())
    """)
    out, _ = run(flow, kernel, 10)
    assert sorted(out.ints) == list(range(0, 20, 2))


def test_a_worker_that_cannot_be_set_up_ends_the_replica(flow, program):
    kernel = program("""
        @dependencies
        def around():
            raise RuntimeError("no such device")
            yield

        @operator(processes=2)
        def never(inputs, parameters):
            return inputs
    """)
    made = flow({"s": source(numbers(1)), "m": node(kernel)}, ["s > m"])
    running = made.start("m")
    running.join()
    assert isinstance(running.error, SetUpError)
    assert "no such device" in str(running.error)


def test_there_is_no_state_in_workers(flow, program):
    kernel = program("""
        @operator(processes=1)
        def kernel(inputs, parameters, context):
            context.state["n"] = 1
    """)
    made = flow({"s": source(numbers(1)), "m": node(kernel)}, ["s > m"])
    running = made.start("m")
    made.start("s")
    running.join()
    assert "m uses context.state with processes=1" in str(running.error)


def test_a_sinks_effects_in_workers_are_noted_once(flow, program, tmp_path):
    kernel = program("""
        @operator(processes=2)
        def write(inputs, parameters, context):
            with (context.outputs / "written").open("ab") as file:
                file.write(inputs.data + b"\\n")
    """)
    made = flow({"s": source(numbers(0)), "k": sink(kernel)}, ["s > k"])
    for _ in range(3):
        made.feed("s", [message(str(n).encode()) for n in range(20)], ids=[f"x.{n}" for n in range(20)])
    made.run()
    assert sorted(map(int, (tmp_path / "written").read_text().split())) == list(range(20))


def test_side_inputs_are_there_in_worker_processes(flow, program):
    kernel = program("""
        @operator(processes=1)
        def tell(inputs, parameters, context):
            return BytesMessage(data=str(context.side_inputs["calibration"]).encode())
    """)
    out = Collected()

    @operator.side_input(every=0.01)
    def calibrate():
        return min(3, 1 + max(out.ints, default=0))

    @operator.source
    def until_the_last(position, most):
        begin = position or 0
        if begin and len(out.messages) == begin and out.ints[-1] == 3:
            raise EndOfStream
        return [(message(b""), begin + 1)] if len(out.messages) == begin else []

    nodes = {"c": side_input(calibrate), "s": source(until_the_last), "m": naming(node(kernel), calibration="c")}
    flow({**nodes, "k": sink(out)}, ["s > m", "m > k"]).run()
    assert set(out.ints) == {1, 2, 3}


def test_what_would_end_a_worker_is_a_failed_attempt(flow, program):
    kernel = program("""
        @operator(processes=2)
        def leave(inputs, parameters, context):
            if int(inputs.data) == 1:
                raise SystemExit(3)
            if int(inputs.data) == 2:
                raise KeyboardInterrupt
            return BytesMessage(data=b"%d" % os.getpid())
    """)
    out, made = run(flow, kernel, max_attempts=2)
    assert len(out.ints) == 10
    assert len(set(out.ints)) <= 2, "no worker has died of it"
    errors = [(dead.message.id, dead.error) for dead in made.dead()]
    assert errors == [("s.1", "SystemExit: 3"), ("s.2", "KeyboardInterrupt")]


def test_what_cannot_be_read_of_a_worker_is_a_failed_attempt(flow, program):
    kernel = program("""
        class Broken:
            def __reduce__(self):
                return int, ("no number",)

        @operator(processes=1, ordered=True)
        def kernel(inputs, parameters, context):
            for index in range(40):
                data = b"%d.%d" % (int(inputs.data), index)
                bad = context.attempt == 1 and index == 3 and inputs.data == b"1"
                yield BytesMessage({"of": Broken()}, data) if bad else BytesMessage(data=data)
    """)
    out, made = run(flow, kernel, 3)
    assert out.data == [b"%d.%d" % (number, index) for number in range(3) for index in range(40)]
    assert made.counts("m")["retried"] == 1


def test_a_trigger_does_not_wait_for_a_worker_that_cannot_be_set_up_again(flow, program, tmp_path):
    kernel = program("""
        import time

        @dependencies
        def around(context):
            if (context.outputs / "died").exists():
                while not (context.outputs / "poked").exists():
                    time.sleep(0.001)
                raise RuntimeError("the device is gone")
            yield

        @operator(processes=1)
        def kernel(inputs, trigger, context):
            if trigger is None:
                (context.outputs / "died").touch()
                os._exit(5)
    """)
    made = flow({"s": source(numbers(1)), "m": node(kernel)}, ["s > m"])
    running = made.start("m")
    made.start("s")
    wait_until((tmp_path / "died").exists)
    poke = Poke("p", "flush").to_bytes()

    def taken():
        made.backend.poke(made.operator("m").index, poke)
        return any(answer.get("taken") for answer in made.backend.answers())

    wait_until(taken)
    (tmp_path / "poked").touch()
    running.join()
    assert isinstance(running.error, SetUpError)
    assert "the device is gone" in str(running.error)


def wait_until(so):
    until = time.monotonic() + WAIT
    while not so():
        assert time.monotonic() < until
        time.sleep(0.01)

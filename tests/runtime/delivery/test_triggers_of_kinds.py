"""Triggers in every kind that takes messages, and in worker processes."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import threading
from types import SimpleNamespace

import pytest
from delivery_harness import WAIT, Collected, message, node, numbers, sink, source

from interactem.runtime import BatchOperator, Every, StagedOperator, operator
from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import KERNEL
from interactem.runtime.loading import load

EDGES = ["s > m", "m > k"]


def poked(flow, kernel, *, drain=False, count=6):
    """What the answer says, and what came, without and with a message."""
    out = Collected()
    made = flow({"s": source(numbers(count)), "m": node(kernel), "k": sink(out)}, EDGES)
    made.start_all(but=("s",))
    answer = made.poke("m", "flush", drain=drain)
    made.start("s")
    made.finish()
    assert len(set(out.ids)) == len(out.ids)
    return answer, sorted(out.ints)


def draining():
    """A batch kernel that has three messages for whoever drains it, one by one."""
    kept = [b"-3", b"-2", b"-1"]

    @operator.batch(max_size=3)
    def kernel(inputs, parameters, trigger):
        if trigger == "flush":
            assert inputs == []
            return message(kept.pop()) if kept else None
        return inputs

    return kernel


def yielding():
    @operator.batch(max_size=3, threads=2)
    def kernel(inputs, trigger):
        if trigger:
            yield message(b"-1")
            yield [message(b"-2")]
        for one in inputs:
            yield one, one

    return kernel


def later():
    @operator.batch(max_size=3, concurrency=2, ordered=True)
    async def kernel(inputs, trigger):
        await asyncio.sleep(0)
        return [message(b"-1"), message(b"-2")] if trigger else inputs

    return kernel


def of_a_class():
    @operator.batch(max_size=3)
    class Kernel(BatchOperator):
        def run(self, inputs, trigger):
            return [message(b"-1"), message(b"-2")] if trigger else inputs

    return Kernel


@pytest.mark.parametrize("make", [yielding, later, of_a_class])
def test_a_batch_kernel_is_given_no_messages_and_makes_what_it_likes(flow, make):
    answer, ints = poked(flow, make())
    assert (answer["calls"], answer["sent"], answer.get("error")) == (1, 2, None)
    assert ints == [-2, -1, *range(6)]


def test_a_batch_kernel_is_drained(flow):
    answer, ints = poked(flow, draining(), drain=True)
    assert (answer["calls"], answer["sent"]) == (4, 3)
    assert ints == [-3, -2, -1, *range(6)]


def test_a_batch_kernel_without_trigger_says_how_to_take_it(flow):
    @operator.batch
    def kernel(inputs, context):
        return inputs

    answer, ints = poked(flow, kernel)
    assert (answer["calls"], "of a batch kernel" in answer["error"]) == (0, True)
    assert ints == list(range(6))


def staged():
    kept = [2, 1]

    def prepare(inputs):
        return int(inputs.data)

    def output(number):
        return message(b"%d" % number)

    @operator.staged(prepare=prepare, output=output, max_concurrency=2)
    def kernel(number, trigger):
        if trigger:
            assert number is None
            return -kept.pop() if kept else None
        return number

    return kernel


def staged_later():
    kept = [2, 1]

    @operator.staged
    class Kernel(StagedOperator):
        def prepare(self, inputs):
            return int(inputs.data)

        async def process(self, number, trigger):
            await asyncio.sleep(0)
            if trigger:
                return -kept.pop() if kept else None
            return number

        async def output(self, number):
            return message(b"%d" % number)

    return Kernel


@pytest.mark.parametrize("make", [staged, staged_later])
def test_the_middle_of_a_staged_kernel_is_called_and_its_output_put_out(flow, make):
    answer, ints = poked(flow, make(), drain=True)
    assert (answer["calls"], answer["sent"], answer.get("error")) == (3, 2, None)
    assert ints == [-2, -1, *range(6)]


def test_other_stages_take_no_trigger():
    with pytest.raises(KernelError, match="a trigger calls the function in the middle"):

        @operator.staged(prepare=lambda inputs, trigger: inputs)
        def kernel(inputs):
            return inputs


@pytest.fixture
def program(tmp_path):
    """The operator in a `run.py` of this text."""
    before = list(sys.path), sys.modules.get("run")

    def write(text):
        path = tmp_path / "operator" / "run.py"
        path.parent.mkdir()
        head = "import os\nfrom interactem.runtime import BytesMessage, operator\n"
        path.write_text(head + textwrap.dedent(text))
        return SimpleNamespace(**{KERNEL: load(path)})

    yield write
    sys.path[:] = before[0]
    if before[1] is not None:
        sys.modules["run"] = before[1]


IN_PROCESSES = {
    "map": """
        @operator(processes=1)
        def kernel(inputs, trigger):
            if trigger:
                return BytesMessage(data=kept.pop()) if kept else None
            return inputs
    """,
    "stream": """
        @operator(processes=1, ordered=True)
        async def kernel(inputs, trigger, context):
            if trigger:
                assert context.trigger == "flush" and inputs is None
                yield BytesMessage(data=kept.pop()) if kept else []
            else:
                yield inputs
    """,
    "batch": """
        @operator.batch(processes=1, max_size=2)
        def kernel(inputs, trigger):
            if trigger:
                return [BytesMessage(data=kept.pop())] if kept else []
            return inputs
    """,
}


@pytest.mark.parametrize("kind", IN_PROCESSES)
def test_one_worker_process_is_asked(flow, program, kind):
    kernel = program('kept = [b"-2", b"-1"]\n' + textwrap.dedent(IN_PROCESSES[kind]))
    answer, ints = poked(flow, kernel, drain=True)
    assert (answer["calls"], answer["sent"], answer.get("error")) == (3, 2, None)
    assert ints == [-2, -1, *range(6)]


def test_what_goes_wrong_in_a_worker_is_the_answer(flow, program):
    kernel = program("""
        @operator(processes=2)
        def kernel(inputs, trigger):
            if trigger == "die":
                os._exit(5)
            if trigger:
                raise ValueError("not now")
            return inputs
    """)
    out = Collected()
    made = flow({"s": source(numbers(6)), "m": node(kernel), "k": sink(out)}, EDGES)
    made.start_all(but=("s",))
    dead, failed = made.poke("m", "die"), made.poke("m", "fail")
    made.start("s")
    made.finish()
    assert dead["error"] == "WorkerError: its worker process has ended with exit code 5 while it was called for die"
    assert failed["error"] == "ValueError: not now"
    assert 'raise ValueError("not now")' in failed["traceback"]
    assert sorted(out.ints) == list(range(6))


def test_a_reducer_tells_what_its_windows_have_come_to(flow):
    seen = threading.Semaphore(0)

    def key(one):
        seen.release()
        return int(one.data) % 2

    @operator.reduce(key=key, early=Every(count=1000))
    def total(key, messages, context):
        return message(str(sum(int(one.data) for one in messages)).encode(), trigger=context.trigger)

    out = Collected()
    made = flow({"s": source(numbers(0)), "m": node(total), "k": sink(out)}, EDGES)
    made.start_all(but=("s",))
    made.feed("s", [message(str(n).encode()) for n in range(6)], ids=[f"x.{n}" for n in range(6)])
    for _ in range(6):
        assert seen.acquire(timeout=WAIT)
    first, second = made.poke("m", "tell"), made.poke("m", "tell", drain=True)
    made.start("s")
    made.finish()
    assert [(answer["calls"], answer["sent"]) for answer in (first, second)] == [(2, 2), (0, 0)]
    told = sorted((m.meta["revision"], int(m.data), m.meta["final"], m.meta["trigger"]) for m in out.messages)
    assert told == [(1, 6, False, "tell"), (1, 9, False, "tell"), (2, 6, True, None), (2, 9, True, None)]


def test_a_reducer_says_what_went_wrong(flow):
    @operator.reduce(early=Every(seconds=1000))
    def total(messages, context):
        if context.trigger:
            raise ValueError("not now")
        return message(str(len(list(messages))).encode())

    out = Collected()
    made = flow({"s": source(numbers(0)), "m": node(total), "k": sink(out)}, EDGES)
    made.start_all(but=("s",))
    made.feed("s", [message(b"1")], ids=["x.1"])
    while (answer := made.poke("m", "tell"))["calls"] == 0:
        pass
    made.start("s")
    made.finish()
    assert (answer["sent"], answer["error"]) == (0, "ValueError: not now")
    assert out.ints == [1]

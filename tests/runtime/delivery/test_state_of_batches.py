"""`context.state` where one call goes on at a time: in batch kernels without a mode, and in order."""

from __future__ import annotations

import itertools

import pytest
from delivery_harness import Collected, crash_at, message, node, numbers, sink, source

from interactem.runtime import BatchOperator, operator

EDGES = ["s > m", "m > k"]


def run(flow, kernel, count=40, **options):
    out = Collected()
    return out, flow({"s": source(numbers(count)), "m": node(kernel, **options), "k": sink(out)}, EDGES).run()


def running(one, context):
    """The state takes a number up, in three ways; what the total of each is then."""
    state, keyed = context.state, context.keyed("totals")
    state["n"] = state.get("n", 0) + int(one.data)
    keyed["n"] = keyed.get("n", 0) + int(one.data)
    sums = context.accumulator("sum")
    sums.add(int(one.data))
    assert state["n"] == keyed["n"] == sums.value
    return message(str(state["n"]).encode(), of=int(one.data))


@operator.batch(max_size=7)
def batch(inputs, context):
    return [running(one, context) for one in inputs]


@operator.batch(max_size=7, ordered=True)
async def batch_in_order(inputs, context):
    for one in inputs:
        yield one, running(one, context)


@operator(ordered=True)
def in_order(inputs, context):
    return running(inputs, context)


@operator(ordered=True)
def streamed_in_order(inputs, context):
    yield message(b"0", of=-1)
    yield running(inputs, context)


@operator.batch(max_size=7)
class OfAClass(BatchOperator):
    def run(self, inputs):
        return [running(one, self.context) for one in inputs]

    def finish(self):
        return message(str(self.context.state["n"]).encode(), of=-2)


KERNELS = [batch, batch_in_order, in_order, streamed_in_order, OfAClass]


def is_one_sum(out, count, *, ordered=False):
    """Whether each number went into the state once: the totals are those of some order."""
    told = [(m.meta["of"], int(m.data)) for m in out.messages if m.meta["of"] >= 0]
    assert sorted(of for of, _ in told) == list(range(count))
    if ordered:
        assert [of for of, _ in told] == list(range(count))
    by_total = sorted(told, key=lambda pair: (pair[1], -pair[0]))
    assert [total for _, total in by_total] == list(itertools.accumulate(of for of, _ in by_total))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_each_message_goes_into_the_state_once(flow, kernel):
    out, made = run(flow, kernel)
    is_one_sum(out, 40, ordered=kernel is not batch)
    assert made.dead() == []
    if kernel is OfAClass:
        assert [int(m.data) for m in out.messages if m.meta["of"] == -2] == [780]


@pytest.mark.parametrize("step", range(0, 16, 3))
@pytest.mark.parametrize("kernel", [batch, in_order, batch_in_order], ids=lambda kernel: kernel.__name__)
def test_a_crash_anywhere_leaves_each_message_once_in_the_state(flow, step, kernel):
    out = Collected()
    made = flow({"s": source(numbers(40)), "m": node(kernel, max_attempts=0), "k": sink(out)}, EDGES)
    prepare, _ = crash_at(step, before=bool(step % 2))
    made.start("m", prepare=prepare)
    made.start_all(but=("m",))
    made.finish()
    is_one_sum(out, 40)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("how", ["raised", "returned", "unsendable", "missing"])
def test_what_fails_leaves_nothing_in_the_state(flow, how, ordered):
    tried = []

    @operator.batch(max_size=7, ordered=ordered)
    def kernel(inputs, context):
        for one in inputs:
            result = running(one, context)
            number = int(one.data)
            if number % 9 == 4 and (number == 13 or tried.count(number) < 2):
                tried.append(number)
                if how == "raised":
                    raise ValueError("no good")
                if how == "missing":
                    continue
                result = ValueError("no good") if how == "returned" else result.to("nowhere")
            yield one, result

    out, made = run(flow, kernel, max_attempts=3)
    told = [(m.meta["of"], int(m.data)) for m in out.messages]
    assert sorted(of for of, _ in told) == [n for n in range(40) if n != 13]
    by_total = sorted(told, key=lambda pair: (pair[1], -pair[0]))
    assert [total for _, total in by_total] == list(itertools.accumulate(of for of, _ in by_total))
    assert max(total for _, total in told) == sum(range(40)) - 13
    assert [dead.message.id for dead in made.dead()] == ["s.13"]
    if ordered:
        assert [of for of, _ in told] == [n for n in range(40) if n != 13]


def test_a_failing_message_in_order_leaves_nothing_in_the_state(flow):
    @operator(ordered=True)
    def kernel(inputs, context):
        result = running(inputs, context)
        if int(inputs.data) in (0, 5, 6) and context.attempt < 3:
            raise ValueError("not yet")
        return result

    out, made = run(flow, kernel)
    is_one_sum(out, 40, ordered=True)
    assert made.counts("m")["retried"] == 6


def test_a_trigger_of_a_batch_kernel_sees_the_state(flow):
    @operator.batch(max_size=7)
    def kernel(inputs, trigger, context):
        if trigger:
            context.state["n"] = context.state.get("n", 0) + 1000
            return message(b"-1")
        return [running(one, context) for one in inputs] if "n" not in context.state else [None for _ in inputs]

    out = Collected()
    made = flow({"s": source(numbers(3)), "m": node(kernel), "k": sink(out)}, EDGES)
    made.start_all(but=("s",))
    answer = made.poke("m", "add")
    made.start("s")
    made.finish()
    assert (answer["calls"], answer["sent"], answer.get("error")) == (1, 1, None)
    assert out.ints == [-1]

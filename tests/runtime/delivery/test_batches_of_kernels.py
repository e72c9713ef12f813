"""Batch kernels: a list of messages in, a result for each out; what fails, fails alone."""

from __future__ import annotations

import threading

import pytest
from delivery_harness import Collected, Crash, message, node, numbers, sink, source

from interactem.runtime import operator


class Batches:
    """A batch kernel that doubles, and notes what it was given together. `spoil` makes a result of each number."""

    def __init__(self, spoil=None, **options):
        self.given: list[list[int]] = []

        @operator.batch(**{"max_size": 8, "max_wait": 0.05, **options})
        def double(inputs, parameters):
            self.given.append([int(one.data) for one in inputs])
            return [spoil(int(one.data)) if spoil else twice(one) for one in inputs]

        self.kernel = double


def twice(one):
    return message(str(2 * int(one.data)).encode())


def run(flow, kernel, count=30, **options):
    out = Collected()
    nodes = {"s": source(numbers(count)), "m": node(kernel, **options), "k": sink(out)}
    return out, flow(nodes, ["s > m", "m > k"]).run()


def test_a_batch_has_no_more_messages_than_it_may(flow):
    batches = Batches()
    out, made = run(flow, batches.kernel, 100)
    assert out.ints == list(range(0, 200, 2))
    assert [number for given in batches.given for number in given] == list(range(100))
    assert max(map(len, batches.given)) <= 8
    assert (made.counts("m")["received"], made.counts("m")["sent"]) == (100, 100)


def test_batches_gather_across_deliveries(flow):
    batches = Batches(max_size=10, max_wait=30.0)
    out = Collected()
    made = flow({"s": source(numbers(0)), "m": node(batches.kernel), "k": sink(out)}, ["s > m", "m > k"])
    made.start_all(but=("s",))
    for number in range(20):
        made.feed("s", [message(str(number).encode())], ids=[f"x.{number}"])
    out.wait(20)
    made.start("s")
    made.finish()
    assert batches.given == [list(range(10)), list(range(10, 20))]
    assert out.ints == list(range(0, 40, 2))


def test_what_has_gathered_goes_when_the_first_has_waited_long_enough(flow):
    batches = Batches(max_size=1000, max_wait=0.01)
    out = Collected()
    made = flow({"s": source(numbers(0)), "m": node(batches.kernel), "k": sink(out)}, ["s > m", "m > k"])
    made.start_all(but=("s",))
    made.feed("s", [message(b"1"), message(b"2")], ids=["x.1", "x.2"])
    out.wait(2)
    assert batches.given == [[1, 2]]
    made.start("s")
    made.finish()


def test_the_end_of_the_stream_does_not_wait_for_a_batch_to_fill(flow):
    batches = Batches(max_size=1000, max_wait=10_000.0)
    out, _ = run(flow, batches.kernel, 25)
    assert out.ints == list(range(0, 50, 2))


def test_ids_are_those_of_a_kernel_of_one_message(flow):
    @operator.batch(max_size=4)
    def several(inputs, parameters):
        return [[one, one] if int(one.data) % 2 else None for one in inputs]

    out, _ = run(flow, several, 4)
    assert out.ids == ["s.1/0.0", "s.1/0.1", "s.3/0.0", "s.3/0.1"]


@operator.batch(max_size=5)
def yielded(inputs, parameters):
    for one in reversed(inputs):
        yield one, twice(one)


@operator.batch(max_size=5)
def as_pairs(inputs, parameters):
    return [(one, twice(one)) for one in reversed(inputs)]


@operator.batch(max_size=5)
async def later(inputs, parameters):
    return [twice(one) for one in inputs]


@operator.batch(max_size=5)
async def yielded_later(inputs, parameters):
    for one in reversed(inputs):
        yield one, twice(one)


@pytest.mark.parametrize("kernel", [yielded, as_pairs, later, yielded_later])
def test_results_are_matched_to_their_messages(flow, kernel):
    out, made = run(flow, kernel, 12)
    assert sorted(zip(out.ids, out.ints, strict=True)) == sorted((f"s.{n}/0.0", 2 * n) for n in range(12))
    assert made.dead() == []


def test_an_exception_in_a_results_place_fails_that_message_alone(flow):
    def spoil(number):
        return ValueError(f"no good: {number}") if number == 3 else message(b"1")

    out, made = run(flow, Batches(spoil).kernel, 10)
    assert len(out.messages) == 9
    [dead] = made.dead()
    assert (dead.message.id, dead.attempts, dead.error) == ("s.3", 3, "ValueError: no good: 3")


def test_a_result_that_is_no_message_fails_that_message_alone(flow):
    def spoil(number):
        return "text" if number == 3 else message(b"1")

    out, made = run(flow, Batches(spoil).kernel, 10)
    assert len(out.messages) == 9
    assert [(dead.message.id, dead.error[:15]) for dead in made.dead()] == [("s.3", "ReturnTypeError")]


def test_no_result_for_a_message_is_an_error_that_names_it(flow):
    @operator.batch(max_size=5)
    def forgetful(inputs, parameters):
        for one in inputs:
            if int(one.data) != 3:
                yield one, one

    out, made = run(flow, forgetful, 10)
    assert sorted(out.ints) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    [dead] = made.dead()
    assert dead.message.id == "s.3"
    assert "no result for s.3" in dead.error


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda inputs: [*inputs, inputs[0]], "results for"),
        (lambda inputs: None, "returned a NoneType"),
        (lambda inputs: [(message(b"x"), None)], "none of the batch's messages"),
        (lambda inputs: [(inputs[0], None), (inputs[0], None)], "two results for s.0"),
        (lambda inputs: [(inputs[0], None, 1)], "no pair"),
    ],
)
def test_results_that_cannot_be_matched_fail_the_messages_of_the_batch(flow, spoilt, said):
    @operator.batch(max_size=1)
    def kernel(inputs, parameters):
        return spoilt(inputs)

    _, made = run(flow, kernel, 1, max_attempts=1)
    [dead] = made.dead()
    assert said in dead.error


def test_of_a_batch_that_raises_only_the_message_that_is_to_blame_is_lost(flow):
    given = []

    @operator.batch(max_size=10, max_wait=1.0)
    def fragile(inputs, parameters, context):
        given.append((len(inputs), context.attempt))
        if any(int(one.data) == 5 for one in inputs):
            raise ValueError("one of them is bad")
        return list(inputs)

    out, made = run(flow, fragile, 10, max_attempts=2)
    assert sorted(out.ints) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert [(dead.message.id, dead.attempts) for dead in made.dead()] == [("s.5", 2)]
    assert (1, 2) in given, "after a batch that raised, its messages are tried one by one"


def test_a_sink_of_batches_has_each_effect_once_though_everything_comes_twice(flow):
    seen = []

    @operator.batch(max_size=7)
    def write(inputs, parameters):
        seen.extend(int(one.data) for one in inputs)
        return [None] * len(inputs)

    made = flow({"s": source(numbers(0)), "k": sink(write)}, ["s > k"])
    ids = [f"x.{n}" for n in range(20)]
    messages = [message(str(n).encode()) for n in range(20)]
    made.feed("s", messages, ids=ids)
    made.feed("s", messages[5:15], ids=ids[5:15])
    made.feed("s", messages, ids=ids)
    made.run()
    assert sorted(seen) == list(range(20))


def test_there_is_no_state_in_batches_at_once(flow):
    @operator.batch(threads=2)
    def kernel(inputs, parameters, context):
        context.state["n"] = 1
        return inputs

    made = flow({"s": source(numbers(1)), "m": node(kernel)}, ["s > m"])
    running = made.start("m")
    made.start("s")
    running.join()
    assert "m uses context.state with threads=2" in str(running.error)


def test_a_kernel_that_ends_its_process_costs_each_of_the_batch_an_attempt_and_is_found(flow):
    given = []

    @operator.batch(max_size=10, max_wait=1.0)
    def deadly(inputs, parameters):
        given.append([int(one.data) for one in inputs])
        if any(int(one.data) == 5 for one in inputs):
            raise Crash
        return list(inputs)

    out, made = run(flow, deadly, 10, max_attempts=2)
    assert sorted(set(out.ints)) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert [(dead.message.id, dead.attempts) for dead in made.dead()] == [("s.5", 2)]
    assert [5] in given


def test_parameters_change_between_batches(flow):
    seen = []
    changed = threading.Event()

    @operator.batch(max_size=1, max_wait=0.0)
    def kernel(inputs, parameters):
        seen.append(parameters["level"])
        changed.set()
        return inputs

    out = Collected()
    nodes = {"s": source(numbers(0)), "m": node(kernel, parameters={"level": 1}), "k": sink(out)}
    made = flow(nodes, ["s > m", "m > k"])
    made.start_all(but=("s",))
    made.feed("s", [message(b"1")], ids=["x.1"])
    out.wait(1)
    made.set("m", level=2)
    made.start("s")
    made.feed("s", [message(b"1")], ids=["x.2"])
    made.finish()
    assert seen == [1, 2]


@pytest.mark.parametrize("mode", [{}, {"threads": 2}])
def test_each_message_of_a_batch_has_its_own_number_of_attempts(flow, mode):
    seen = []

    @operator.batch(max_size=4, max_wait=0.2, **mode)
    def kernel(inputs, context):
        seen.extend((int(one.data), attempt) for one, attempt in zip(inputs, context.attempts, strict=True))
        assert context.attempt == max(context.attempts)
        for one, attempt in zip(inputs, context.attempts, strict=True):
            yield one, ValueError("not yet") if int(one.data) == 3 and attempt < 3 else one

    out = Collected()
    flow({"s": source(numbers(8)), "m": node(kernel), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert sorted(out.ints) == list(range(8))
    assert sorted(seen) == sorted([(n, 1) for n in range(8)] + [(3, 2), (3, 3)])

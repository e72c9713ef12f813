"""Sinks say what became of each message: success, failure, or a fallback."""

from __future__ import annotations

import itertools

import pytest
from delivery_harness import Collected, crash_at, message, node, numbers, sink, source

from interactem.runtime import Failed, Sink, operator
from interactem.runtime.errors import KernelError


def sorting(done, *, once=()):
    """Keeps even numbers and hands odd ones to its fallback; those in `once` fail the first time."""

    @operator.sink
    class Keep(Sink):
        def write(self, inputs, context):
            number = int(inputs.data)
            if number in once and context.attempt == 1:
                return Failed(f"{number} does not fit yet")
            if number % 2:
                return inputs.to("odd")
            done.append(number)
            return None

    return Keep


def test_each_message_succeeds_fails_or_falls_back(flow):
    done, odd = [], Collected()
    made = flow(
        {"s": source(numbers(8)), "k": sink(sorting(done, once=(3, 4)), "odd"), "o": sink(odd)}, ["s > k", "k.odd > o"]
    )
    made.run()
    assert sorted(done) == [0, 2, 4, 6]
    assert sorted(odd.ints) == [1, 3, 5, 7]
    assert made.counts("k")["retried"] == 2
    assert made.dead() == []


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_fallback_is_taken_once_wherever_the_sink_is_killed(flow, before):
    for step in itertools.count():
        odd = Collected()
        made = flow(
            {"s": source(numbers(6)), "k": sink(sorting([]), "odd", replicas=2), "o": sink(odd)}, ["s > k", "k.odd > o"]
        )
        prepare, crashed = crash_at(step, before=before)
        made.start("s")
        made.start("k", prepare=prepare)
        made.start("k", 1)
        made.start("o")
        made.finish()
        assert sorted(odd.ints) == [1, 3, 5], step
        made.close()
        if not crashed.is_set():
            break
    assert step >= 2


def test_one_that_fails_for_good_is_a_dead_letter_that_says_why(flow):
    @operator.sink
    async def refuse(inputs):
        return Failed("the archive is read-only")

    made = flow({"s": source(numbers(1)), "k": sink(refuse, max_attempts=2)}, ["s > k"])
    made.run()
    [letter] = made.dead()
    assert letter.attempts == 2
    assert letter.error == "FailedMessageError: the archive is read-only"


def test_what_has_nowhere_to_go_is_not_lost(flow):
    made = flow({"s": source(numbers(2)), "k": sink(sorting([]), "odd", max_attempts=1)}, ["s > k"])
    made.run()
    [letter] = made.dead()
    assert letter.message.data == b"1"
    assert "nothing is connected to the fallback 'odd'" in letter.error


@pytest.mark.parametrize(
    ("returned", "said"),
    [(message(b"1"), "a sink returned a message for no port"), (True, "returned a builtins.bool")],
)
def test_what_is_no_result_of_a_sink_is_refused(flow, returned, said):
    @operator.sink
    def keep(inputs):
        return returned

    made = flow({"s": source(numbers(1)), "k": sink(keep, max_attempts=1)}, ["s > k"])
    made.run()
    [letter] = made.dead()
    assert said in letter.error


def test_any_kernel_may_say_that_it_failed(flow):
    @operator
    def check(inputs, parameters):
        return Failed("no good") if inputs.data == b"1" else inputs

    out = Collected()
    made = flow({"s": source(numbers(3)), "m": node(check, max_attempts=1), "k": sink(out)}, ["s > m", "m > k"])
    made.run()
    assert sorted(out.ints) == [0, 2]
    assert [letter.error for letter in made.dead()] == ["FailedMessageError: no good"]


def test_a_sink_does_not_yield():
    with pytest.raises(KernelError, match="it does not yield"):

        @operator.sink
        def keep(inputs):
            yield inputs


def test_a_sink_takes_its_message():
    with pytest.raises(KernelError, match="forgetful: a sink takes `inputs`"):

        @operator.sink
        def forgetful(parameters):
            return None

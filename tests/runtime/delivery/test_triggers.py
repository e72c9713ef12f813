"""Triggers: a poke calls the kernel out of band, and its answer says what came of it."""

from __future__ import annotations

import sys
import threading

import pytest
from pydantic import BaseModel, Field

from interactem.runtime import operator
from interactem.runtime.triggers import Poke

delivery = sys.modules["delivery_harness"]
Collected, message, node, numbers, sink, source = (
    delivery.Collected, delivery.message, delivery.node, delivery.numbers, delivery.sink, delivery.source,
)  # fmt: skip


class Levels(BaseModel):
    level: int = Field(lt=10)


def test_a_poke_calls_the_kernel_and_what_it_makes_is_sent(flow):
    collected = Collected()

    @operator
    def kernel(inputs, parameters, trigger):
        return message(b"poked", trigger=trigger) if trigger else inputs

    run = flow({"s": source(numbers(0)), "k": node(kernel), "c": sink(collected)}, ["s > k", "k > c"])
    run.start_all(but=("s",))
    answer = run.poke("k", "snapshot")
    assert (answer["calls"], answer["sent"]) == (1, 1)
    collected.wait(1)
    assert (collected.data, collected.messages[0].meta) == ([b"poked"], {"trigger": "snapshot"})
    run.start("s")
    run.finish()
    assert len(collected.data) == 1


def test_drain_calls_until_nothing_comes(flow):
    collected = Collected()
    kept = [b"3", b"2", b"1"]

    @operator
    def kernel(inputs, parameters, context):
        assert context.trigger == "flush"
        assert inputs is None
        return message(kept.pop()) if kept else None

    run = flow({"s": source(numbers(0)), "k": node(kernel), "c": sink(collected)}, ["s > k", "k > c"])
    run.start_all(but=("s",))
    answer = run.poke("k", "flush", drain=True)
    assert (answer["calls"], answer["sent"]) == (4, 3)
    collected.wait(3)
    assert collected.data == [b"1", b"2", b"3"]
    assert len(set(collected.ids)) == 3


def test_state_that_a_poke_changes_is_stored_before_the_answer(flow):
    @operator
    def kernel(inputs, parameters, context, trigger):
        context.state["n"] = context.state.get("n", 0) + (100 if trigger else 1)
        return message(str(context.state["n"]).encode())

    collected = Collected()
    run = flow({"s": source(numbers(3)), "k": node(kernel), "c": sink(collected)}, ["s > k", "k > c"])
    run.start_all(but=("s",))
    run.poke("k", "more")
    [replica] = [r for r in run.running if r.operator.key == "k"]
    run.abandon(replica)  # as after kill -9: what was answered is there
    run.start("k")
    run.start("s")
    run.finish()
    assert collected.ints == [100, 101, 102, 103]


def test_a_poke_that_fails_says_so_and_leaves_no_trace_in_the_state(flow):
    @operator
    def kernel(inputs, parameters, context, trigger):
        context.state["n"] = context.state.get("n", 0) + 1
        if trigger:
            raise ValueError("not now")
        return message(str(context.state["n"]).encode())

    collected = Collected()
    run = flow({"s": source(numbers(2)), "k": node(kernel), "c": sink(collected)}, ["s > k", "k > c"])
    run.start_all(but=("s",))
    answer = run.poke("k", "now")
    assert (answer["error"], answer["sent"]) == ("ValueError: not now", 0)
    assert "not now" in answer["traceback"]
    run.start("s")
    run.finish()
    assert collected.ints == [1, 2]


def test_a_source_is_poked_between_its_messages(flow):
    collected, poked = Collected(), threading.Event()

    @operator
    def kernel(inputs, parameters, trigger, context):
        if trigger:
            context.state["poked"] = True
            poked.set()
            return [message(b"-1")]
        return None if context.state.get("poked") else message(b"1")

    @operator
    def generator(inputs, parameters, trigger):
        if trigger:
            poked.set()
            yield message(b"-1")
            return
        while not poked.is_set():
            yield message(b"1")

    for one in (kernel, generator):
        poked.clear()
        collected.messages.clear()
        run = flow({"s": source(one), "c": sink(collected)}, ["s > c"])
        run.start_all()
        collected.wait(1)
        answer = run.poke("s", "go")
        assert answer["sent"] == 1
        run.backend.tell(run.names.control(0, "drain"), b"{}")
        run.finish()
        assert collected.ints.count(-1) == 1
        assert len(set(collected.ids)) == len(collected.ids)


def test_a_kernel_without_triggers_says_how_to_take_them(flow):
    run = flow({"s": source(numbers(0)), "c": sink(Collected())}, ["s > c"])

    @operator
    def deaf(inputs, parameters):
        raise AssertionError("it is not called")

    run.nodes["c"].kernel = deaf
    run.start("c")
    answer = run.poke("c", "go")
    assert "name `trigger` or `context`" in answer["error"]


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b'{"id": 1, "trigger": "a", "drain": false}', b"\xff", b"[" * 9999]
)
def test_what_is_not_a_poke_is_passed_over(flow, payload):
    @operator
    def kernel(inputs, parameters, trigger):
        return message(b"1")

    with pytest.raises(ValueError, match="not a poke"):
        Poke.of(payload)
    run = flow({"s": source(numbers(0)), "k": node(kernel)}, ["s > k"])
    run.start("k")
    run.backend.poke(1, payload)
    assert run.poke("k", "go")["calls"] == 1


def test_new_parameters_are_answered_for(flow):
    seen = []

    @operator
    def kernel(inputs, parameters):
        seen.append(parameters["level"])

    run = flow({"s": source(numbers(1)), "k": node(kernel, parameters={"level": 1})}, ["s > k"])
    run.start("k")
    run.answer(lambda answer: "parameters" in answer)
    before = {answer["parameters"] for answer in run.backend.answers() if "parameters" in answer}
    run.set("k", level=2)
    run.answer(lambda answer: "parameters" in answer and answer["parameters"] not in before)
    run.start("s")
    run.finish()
    assert seen == [2]


def test_parameters_that_the_kernel_cannot_have_are_refused_and_the_old_ones_stay(flow):
    seen = []

    @operator
    def kernel(inputs, parameters: Levels):
        seen.append(parameters.level)

    run = flow({"s": source(numbers(1)), "k": node(kernel, parameters={"level": 1})}, ["s > k"])
    run.start("k")
    run.answer(lambda answer: "parameters" in answer)
    run.set("k", level=20)
    refused = run.answer(lambda answer: "refused" in answer)
    assert "level: Input should be less than 10" in refused["refused"]
    run.start("s")
    run.finish()
    assert seen == [1]

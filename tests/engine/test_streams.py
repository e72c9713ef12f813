"""What is asked of JetStream for a run, and what is made of its answers."""

from __future__ import annotations

import asyncio

import pytest

from interactem.engine import streams
from interactem.engine.errors import BrokerError
from interactem.engine.plan import Plan, PlannedOperator, consumers, stream_configs
from interactem.runtime.assignment import Assignment, Input, Output

MEBIBYTE = 2**20
NO_ROOM = {"err_code": 10047, "description": "insufficient storage resources available"}
REFUSED = {"err_code": 10025, "description": "no"}
SOURCE = Assignment("r", 0, "source", outputs=(Output("out", 0, 1, (0, 1), (1, 2)),))
ONE = Assignment("r", 1, "one", inputs=(Input(0, "in", 0, 1),))
OTHER = Assignment("r", 2, "other", inputs=(Input(1, "in", 0, 1),))
PLAN = Plan("r", "test", "process", tuple(PlannedOperator(a.name, a.name, "/", a) for a in (SOURCE, ONE, OTHER)), {})
ALL = {config["name"] for config in stream_configs(PLAN, 0)}


class JetStream:
    """As much of its API as a run uses, with room for streams of so many bytes."""

    def __init__(self, room=2**60):
        self.room = room
        self.streams = {}
        self.consumers = {}
        self.asked = []
        self.refuse = {}

    async def ask(self, subject, value):
        self.asked.append(subject)
        kind, action, *names = subject.removeprefix("$JS.API.").split(".")
        if f"{kind}.{action}" in self.refuse:
            return {"error": self.refuse[f"{kind}.{action}"]}
        return getattr(self, f"{kind}_{action}".lower())(*names, value)

    def stream_info(self, name, value):
        if name not in self.streams:
            return {"error": {"err_code": 10059, "description": "stream not found"}}
        letters = self.streams[name].get("letters", {})
        return {"state": {"last_seq": 17}, "total": letters.get((value or {}).get("subjects_filter"), 0)}

    def stream_create(self, name, value):
        if sum(config["max_bytes"] for config in self.streams.values()) + value["max_bytes"] > self.room:
            return {"error": NO_ROOM}
        self.streams[name] = dict(value)
        return {}

    def stream_delete(self, name, value):
        return {"success": self.streams.pop(name, None) is not None}

    def consumer_info(self, stream, name, value):
        return self.consumers.get((stream, name)) or {"error": {"err_code": 10014, "description": "not found"}}

    def consumer_create(self, stream, name, value):
        self.consumers[stream, name] = {"num_pending": 0, "num_ack_pending": 0}
        return {}


def run(coroutine):
    return asyncio.run(coroutine)


def test_all_that_is_missing_is_made_and_what_is_there_stays():
    broker = JetStream()
    run(streams.create(broker, PLAN, 1024 * MEBIBYTE))
    assert broker.streams.keys() == ALL
    assert broker.consumers.keys() == {(consumer.stream, consumer.name) for consumer in consumers(PLAN)}
    before = {name: dict(config) for name, config in broker.streams.items()}
    del broker.streams["i-r-r"]
    broker.asked.clear()
    run(streams.create(broker, PLAN, 512 * MEBIBYTE))
    assert [subject for subject in broker.asked if ".CREATE." in subject] == ["$JS.API.STREAM.CREATE.i-r-r"]
    assert {name: config for name, config in broker.streams.items() if name != "i-r-r"} == {
        name: config for name, config in before.items() if name != "i-r-r"
    }


def test_a_broker_with_less_room_is_asked_for_less():
    broker = JetStream(room=200 * MEBIBYTE)
    run(streams.create(broker, PLAN, 1024 * MEBIBYTE))
    assert broker.streams.keys() == ALL
    assert 50 * MEBIBYTE < sum(config["max_bytes"] for config in broker.streams.values()) <= 200 * MEBIBYTE


def test_a_broker_without_room_is_left_as_it_was():
    broker = JetStream(room=10 * MEBIBYTE)
    with pytest.raises(BrokerError, match=r"no room .*a run needs 64 MiB .*insufficient storage"):
        run(streams.create(broker, PLAN, 1024 * MEBIBYTE))
    assert broker.streams == {}


@pytest.mark.parametrize("step", ["STREAM.INFO", "STREAM.CREATE", "CONSUMER.INFO", "CONSUMER.CREATE"])
def test_any_other_refusal_ends_it_at_once(step):
    broker = JetStream()
    broker.refuse[step] = REFUSED
    with pytest.raises(BrokerError, match=rf"refuses \$JS.API.{step}.*: no$"):
        run(streams.create(broker, PLAN, 1024 * MEBIBYTE))
    assert broker.streams == {}
    assert len([subject for subject in broker.asked if ".STREAM.CREATE." in subject]) <= len(ALL)


def test_batches_are_counted_before_those_that_are_tried_again():
    broker = JetStream()
    run(streams.create(broker, PLAN, 1024 * MEBIBYTE))
    everything = consumers(PLAN)
    for number, consumer in enumerate(everything):
        broker.consumers[consumer.stream, consumer.name] = {"num_pending": 10 ** (2 * number), "num_ack_pending": 1}
    broker.asked.clear()
    found = run(streams.outstanding(broker, everything))
    counted = {edge: sum(10 ** (2 * n) + 1 for n, c in enumerate(everything) if c.edge == edge) for edge in (0, 1)}
    assert found == counted
    retries = [f"{c.stream}.{c.name}" for c in everything if c.retry]
    assert [subject.removeprefix("$JS.API.CONSUMER.INFO.") for subject in broker.asked[-len(retries) :]] == retries


def test_dead_letters_of_each_operator():
    broker = JetStream()
    run(streams.create(broker, PLAN, 1024 * MEBIBYTE))
    broker.streams["i-r-d"]["letters"] = {"i.r.d.1.*": 3}
    assert run(streams.dead_letters(broker, PLAN)) == {1: 0, 2: 3}
    assert run(streams.last_sequence(broker, "i-r-d")) == 17


def test_all_is_removed():
    broker = JetStream()
    run(streams.create(broker, PLAN, 1024 * MEBIBYTE))
    run(streams.remove(broker, PLAN))
    assert broker.streams == {}

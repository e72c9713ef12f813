"""`context.keyed` and `context.accumulator`: what is kept per key, whatever crashes when."""

from __future__ import annotations

import dataclasses
import itertools

import msgpack
import numpy as np
import pytest
from delivery_harness import (
    MEBIBYTE,
    Collected,
    Flow,
    NatsBackend,
    crash_at,
    message,
    node,
    numbers,
    sink,
    source,
)
from pydantic import BaseModel

from interactem.runtime import checkpoint, connections, effects, operator
from interactem.runtime.errors import StateTooLargeError


class Reading(BaseModel):
    total: int = 0
    last: str = ""


@dataclasses.dataclass
class Span:
    low: int
    high: int


@dataclasses.dataclass
class Seen:
    span: Span
    numbers: list[int]


def keeping():
    """Sends what it has kept by then: what is lost or doubled shows in all that follows."""

    @operator
    def keep(inputs, parameters, context):
        number = int(inputs.data)
        readings, seen = context.keyed("readings", Reading), context.keyed("seen", Seen)
        key = ("odd", 1) if number % 2 else "even"
        reading = readings.setdefault(key, Reading())
        reading.total += number
        if key not in seen:
            seen[key] = Seen(Span(number, number), [])
        seen[key].span.high = number
        seen[key].numbers.append(number)
        total = context.accumulator("total")
        total.add(number)
        history = context.accumulator("history", [], lambda value, item: [*value, item])
        history.add([number, b"x" * 9000])
        if number == 5 and context.attempt == 1:
            reading.total = -1
            raise ValueError("half done")
        return message(repr([total.value, len(history.value), reading.total, seen[key].numbers]).encode())

    return keep


def running(flow, prepare=None, count=8):
    out = Collected()
    made = flow({"s": source(numbers(count)), "m": node(keeping()), "k": sink(out)}, ["s > m", "m > k"])
    made.start("m", prepare=prepare)
    made.start_all(but=("m",))
    made.finish()
    return made, [eval(data) for data in out.data]


def assert_kept(found, count=8):
    """Each number went into everything once, whatever the order."""
    found.sort(key=lambda one: one[1])
    assert [length for _, length, *_ in found] == list(range(1, count + 1))
    assert found[-1][0] == sum(range(count))
    for parity in (0, 1):
        of = [one for one in found if one[3][0] % 2 == parity]
        assert [len(listed) for *_, listed in of] == list(range(1, count // 2 + 1))
        assert all(total == sum(listed) for _, _, total, listed in of)
        assert sorted(of[-1][3]) == list(range(parity, count, 2))


def test_what_is_kept_survives_a_crash_at_any_step(flow):
    for step in itertools.count():
        prepare, crashed = crash_at(step, before=True)
        made, found = running(flow, prepare)
        assert_kept(found)
        made.close()
        if not crashed.is_set():
            break
    assert step >= 3


def test_a_checkpoint_has_only_what_has_changed(flow):
    """A megabyte in ten thousand keys: each message that changes one of them stores a little."""
    stored = []

    @operator
    def fill(inputs, parameters, context):
        table = context.keyed("table")
        if inputs.data == b"0":
            for number in range(10_000):
                table[number] = "x" * 100
        table[int(inputs.data)] = "y"
        return inputs

    def prepare(transport):
        original = transport._outbox_stores = transport._store

        def note(item):
            stored.append((item.subject, len(item.payload)))
            return original(item)

        transport._store = note

    out = Collected()
    made = flow({"s": source(numbers(0)), "m": node(fill), "k": sink(out)}, ["s > m", "m > k"])
    made.start("m", prepare=prepare)
    made.start("k")
    for number in range(40):
        made.feed("s", [message(str(number).encode())], ids=[f"s.{number}"])
        out.wait(number + 1)
    made.start("s")
    made.finish()
    own = [size for subject, size in stored if ".r." in subject or ".k." in subject]
    assert sum(own) < 3_000_000
    assert len(own) > 40


def test_another_incarnation_finds_everything(flow):
    @operator
    def grow(inputs, parameters, context):
        context.keyed("arrays")[int(inputs.data)] = np.full(200_000, int(inputs.data), np.uint8)
        context.accumulator("sum", np.zeros(3), np.add).add(np.full(3, int(inputs.data)))

    made = flow({"s": source(numbers(30)), "k": sink(grow)}, ["s > k"])
    made.start("s")
    first = made.start("k")
    made.finish()
    del first
    made.backend.tell(made.names.control(made.operator("k").index, "finish"), b"{}")
    again = made.start("k")
    again.join()
    assert again.error is None
    context = again.replica._effects._context
    arrays = context.keyed("arrays")
    assert sorted(arrays) == list(range(30))
    assert all(array.shape == (200_000,) and (array == key).all() for key, array in arrays.items())
    assert context.accumulator("sum", np.zeros(3), np.add).value.tolist() == [sum(range(30))] * 3


def test_values_and_keys_that_do_not_fit(flow):
    @operator
    def wrong(inputs, parameters, context):
        number = int(inputs.data)
        if number == 0:
            context.keyed("readings", Reading)["a"] = {"total": 1}
        if number == 1:
            context.keyed("plain")[[1, 2]] = 1
        if number == 2:
            context.keyed("plain")["a"] = object()
        if number == 3:
            context.accumulator("sum").add({1, 2})
        if number == 4:
            context.keyed("counts", int)["a"] = "one"

    made = flow({"s": source(numbers(6)), "k": sink(wrong, max_attempts=1)}, ["s > k"])
    made.run()
    errors = [dead.error for dead in made.dead()]
    assert len(errors) == 5
    assert "context.keyed('readings'): {'total': 1} cannot be kept: it is a dict, and should be a Reading" in errors[0]
    assert "[1, 2] (a list) cannot be a key: use text, numbers" in errors[1]
    assert "cannot be stored: it holds a builtins.object" in errors[2]
    assert "context.accumulator('sum')" in errors[3]
    assert "it is a str, and should be a int" in errors[4]


def test_the_end_of_the_stream_does_not_wait_for_a_large_state_to_be_stored_again(flow, monkeypatch):
    monkeypatch.setattr(effects, "BREATHER", 1e9)

    @operator
    def fill(inputs, parameters, context):
        context.keyed("table")[int(inputs.data)] = bytes(100_000)

    made = flow({"s": source(numbers(20)), "k": sink(fill)}, ["s > k"])
    made.run()
    assert made.dead() == []


def test_more_than_the_store_has_room_for_is_an_error_that_says_so(flow):
    @operator
    def fill(inputs, parameters, context):
        context.keyed("table")[int(inputs.data)] = bytes(100_000)

    made = flow({"s": source(numbers(40)), "k": sink(fill)}, ["s > k"], max_state=1_000_000)
    made.start("s")
    running = made.start("k")
    running.join()
    assert isinstance(running.error, StateTooLargeError)
    assert "over its bound of 1,000,000" in str(running.error)


def kept_in_tables(context, number):
    context.keyed("bulk")[number % 4] = bytes(300_000)


def kept_in_state(context, number):
    context.state["bulk"] = bytes(400_000)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("keep", [kept_in_tables, kept_in_state])
def test_nothing_is_left_over_of_what_a_crash_cut_short(flow, keep, before):
    """Of a checkpoint that was not stored but its pieces, or that was, and the earlier one's pieces not yet removed."""
    told = []

    @operator(finish=lambda parameters, context: told.append(context.state["seen"]))
    def grow(inputs, parameters, context):
        keep(context, int(inputs.data))
        context.state["seen"] = context.state.get("seen", 0) + 1

    for step in range(0, 100, 2):
        made = flow({"s": source(numbers(5)), "k": sink(grow)}, ["s > k"], max_payload=2**18)
        prepare, crashed = crash_at(step, before=before)
        made.start("k", prepare=prepare)
        made.start_all(but=("k",))
        made.finish()
        assert told.pop() == 5, step
        assert made.backend.blobs() == pieces_of_checkpoint(made, "k"), step
        made.close()
        if not crashed.is_set():
            break
    assert step > 5


def pieces_of_checkpoint(made, name):
    """How many pieces the last checkpoint has that are stored apart: its own, or those of its tables."""
    record = made.backend.records()[made.names.record(made.operator(name).index, 0, "checkpoint")]
    value = msgpack.unpackb(record, strict_map_key=False)
    if isinstance(value, dict):
        return value["chunks"]
    _, segments, _ = checkpoint.decode(record).tables
    return sum(chunks for _, chunks, _ in segments)


@pytest.mark.broker
def test_what_the_broker_has_no_room_for_is_an_error_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", 1.0)
    told = {}

    def tell(parameters, context):
        told.update({key: times for key, (times, _) in context.keyed("table").items()})

    @operator(finish=tell)
    def fill(inputs, parameters, context):
        table = context.keyed("table")
        times, _ = table.get(int(inputs.data), (0, b""))
        table[int(inputs.data)] = [times + 1, bytes(1_000_000)]

    nodes = {"s": source(numbers(60)), "k": sink(fill)}
    made = Flow(lambda plan: NatsBackend(plan, tmp_path, store_bytes=64 * MEBIBYTE), tmp_path, nodes, ["s > k"])
    try:
        made.start("s")
        running = made.start("k")
        running.join()
        assert isinstance(running.error, StateTooLargeError)
        assert "does not fit into the run's store: keep less, or make room" in str(running.error)
        made.abandon(running)
        with_room(made, made.names.blob_stream)
        made.start("k")
        made.finish()
        assert made.dead() == []
    finally:
        made.close()
    assert told == dict.fromkeys(range(60), 1)


def with_room(made, stream):
    """Its user has made room on the disk, and the run's streams may hold more."""
    call, ask = made.backend.server.do, made.backend.server.storer.ask
    config = call(ask(f"$JS.API.STREAM.INFO.{stream}", {}))["config"]
    answer = call(ask(f"$JS.API.STREAM.UPDATE.{stream}", {**config, "max_bytes": 512 * MEBIBYTE}))
    assert "error" not in answer


def test_a_source_has_no_tables(flow):
    @operator
    def make(inputs, parameters, context):
        context.keyed("table")["a"] = 1
        yield message(b"1")

    made = flow({"s": source(make, max_attempts=1), "k": sink(Collected())}, ["s > k"])
    running = made.start("s")
    running.join()
    assert "a source has context.state alone" in str(running.error)

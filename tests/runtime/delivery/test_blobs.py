"""Messages larger than one NATS message, up to the bound of what a message may hold."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from delivery_harness import (
    MEBIBYTE,
    Collected,
    Crash,
    Flow,
    NatsBackend,
    crash_at,
    message,
    node,
    numbers,
    sink,
    source,
)

from interactem.runtime import BytesMessage, operator
from interactem.runtime.ids import file
from interactem.runtime.transports import Store

LIMIT = 2**18
SIZES = (10, LIMIT - 20_000, LIMIT - 16_384, LIMIT, 3 * LIMIT + 1)


@operator
def large(inputs, parameters, context):
    for number in range(context.position, len(SIZES)):
        yield message(np.full(SIZES[number], number, np.uint8).tobytes(), number=number)


@operator
def forward(inputs, parameters):
    return inputs


def whole(messages):
    found = sorted((m.meta["number"], len(m.data), m.data == bytes([m.meta["number"]]) * len(m.data)) for m in messages)
    return found == [(number, size, True) for number, size in enumerate(SIZES)]


def test_they_travel_whole_and_leave_nothing_behind(flow):
    first, second = Collected(), Collected()
    nodes = {"s": source(large), "m": node(forward), "a": sink(first), "b": sink(second, replicas=2)}
    made = flow(nodes, ["s > m", "s > a", "m > b"], max_payload=LIMIT)
    made.run()
    assert whole(first.messages)
    assert whole(second.messages)
    assert made.backend.blobs() == 0


def test_order_holds_among_small_and_large(flow):
    out = Collected()
    made = flow({"s": source(large), "k": sink(out)}, ["s > k"], max_payload=LIMIT)
    made.start("s").join()
    made.start("k")
    made.finish()
    assert [m.meta["number"] for m in out.messages] == list(range(len(SIZES)))


def test_a_retry_has_the_data_and_a_dead_letter_keeps_it(flow):
    seen = []

    @operator
    def fail(inputs, parameters, context):
        seen.append((inputs.meta["number"], context.attempt, len(inputs.data)))
        inputs.data = b"spoilt"
        if inputs.meta["number"] == 3 and context.attempt == 1:
            raise ValueError("once")
        if inputs.meta["number"] == 4:
            raise ValueError("always")

    made = flow({"s": source(large), "k": sink(fail)}, ["s > k"], max_payload=LIMIT)
    made.run()
    assert sorted(seen) == sorted(
        [
            *((n, 1, SIZES[n]) for n in range(5)),
            (3, 2, SIZES[3]),
            *((4, attempt, SIZES[4]) for attempt in (2, 3)),
        ]
    )
    [dead] = made.dead()
    assert dead.message.id == "s.4"
    assert made.backend.blobs() == dead.about["chunks"] == 4


def test_a_copy_that_comes_when_the_data_is_gone_is_dropped(flow):
    out = Collected()
    made = flow({"s": source(large), "m": node(forward), "k": sink(out)}, ["s > m", "m > k"], max_payload=LIMIT)
    made.start_all()
    out.wait(len(SIZES))
    from interactem.runtime import wire

    reference = wire.encode([wire.pack(message(), *file("s.4"))], {"blob": "0-gone", "chunks": 4})
    made.feed_raw("s", reference)
    made.finish()
    assert whole(out.messages)
    assert made.dead() == []


def test_a_crash_on_the_way_loses_and_doubles_nothing(flow):
    for step in range(0, 30, 3):
        out = Collected()

        @operator
        def keep(inputs, parameters, context):
            context.state["sizes"] = [*context.state.get("sizes", []), len(inputs.data)]
            return inputs

        nodes = {"s": source(large), "m": node(keep), "k": sink(out)}
        made = flow(nodes, ["s > m", "m > k"], max_payload=LIMIT)
        prepare, crashed = crash_at(step, before=False)
        made.start("m", prepare=prepare)
        made.start_all(but=("m",))
        made.finish()
        assert whole(out.messages), step
        assert made.dead() == []
        made.close()
        if not crashed.is_set():
            break


def test_a_state_is_rolled_back_over_large_messages(flow):
    died = []

    @operator
    def keep(inputs, parameters, context):
        sizes = context.state.setdefault("sizes", [])
        sizes.append(len(inputs.data))
        if inputs.meta["number"] == 2 and context.attempt == 1:
            raise ValueError("once")
        if inputs.meta["number"] == 4 and not died:
            died.append(True)
            raise Crash
        return BytesMessage(data=str(len(sizes)).encode())

    out = Collected()
    made = flow({"s": source(large), "m": node(keep), "k": sink(out)}, ["s > m", "m > k"], max_payload=LIMIT)
    made.run()
    assert sorted(out.ints) == [1, 2, 3, 4, 5]
    assert made.dead() == []


@pytest.mark.broker
def test_a_full_store_takes_blobs_again_when_others_are_removed(tmp_path):
    nodes = {"s": source(numbers(1)), "k": sink(Collected())}
    made = Flow(lambda plan: NatsBackend(plan, tmp_path, store_bytes=64 * MEBIBYTE), tmp_path, nodes, ["s > k"])
    storer, call = made.backend.server.storer, made.backend.server.do
    subjects = [made.names.blob(0, "x", number) for number in range(12)]

    async def fill():
        for subject in subjects:
            await storer.store(Store(subject, bytes(MEBIBYTE - 1000)))
        late = asyncio.ensure_future(storer.store(Store(made.names.blob(0, "late", 0), bytes(MEBIBYTE - 1000))))
        await asyncio.sleep(0.5)
        assert not late.done(), "there is no room"
        await storer.remove(made.names.blob(0, "never", 0))
        await asyncio.gather(*map(storer.remove, subjects))
        await late

    try:
        call(fill())
        assert made.backend.blobs() == 1
    finally:
        made.close()

"""The small parts that delivery is put together from."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import msgpack
import numpy as np
import pytest

from interactem.runtime import checkpoint, slot, wire
from interactem.runtime.applied import AppliedIds
from interactem.runtime.assignment import Assignment, Input, Output
from interactem.runtime.batches import Batch
from interactem.runtime.blobs import HEADROOM, Reference, pieces
from interactem.runtime.checkpoint import Checkpoint
from interactem.runtime.connections import Address
from interactem.runtime.demand import BATCH_MESSAGES, batch_limit, kernel_and_waiting
from interactem.runtime.effects import ranges
from interactem.runtime.errors import MessageTooLargeError, SettingsError, WireError
from interactem.runtime.failures import BACKOFF_MOST, Failure, backoff, is_last
from interactem.runtime.ids import Run, file, runs_of
from interactem.runtime.messages import BytesMessage, MessageHeader
from interactem.runtime.outbox import BATCH_BYTES, Outbox, weight_of
from interactem.runtime.packing import Packing
from interactem.runtime.reports import EVENT_BYTES, Counts, FailureLog, Reporter
from interactem.runtime.settings import Settings
from interactem.runtime.slot import Call, Slot
from interactem.runtime.transports import Delivery, Store, Work


@pytest.mark.parametrize(
    ("seconds", "limit"),
    [
        ([], BATCH_MESSAGES),
        ([0.0], 1),
        ([0.001, 0.0], 1),
        ([1e-9], BATCH_MESSAGES),
        ([0.001], 50),
        ([0.001, 0.01], 5),
        ([7.0], 1),
    ],
)
def test_a_batch_takes_the_slowest_reader_a_twentieth_of_a_second(seconds, limit):
    assert batch_limit(seconds) == limit


def an_outbox(*outputs: Output, **options) -> Outbox:
    assignment = Assignment("r", 0, "a", outputs=outputs or (Output("out", 0, 1, (0,), (1,)),), **options)
    outbox = Outbox(assignment)
    outbox.demand.limits = [BATCH_MESSAGES] * len(assignment.outputs)
    return outbox


def packed(number: int, size: int = 10):
    return wire.pack(BytesMessage(data=bytes(size)), *file(f"s.{number}"))


def sent(outbox: Outbox, *messages, place=None) -> None:
    made = [(0, one) for one in messages]
    outbox.send(made, weight_of(made), place)


def stored_ids(work: Work) -> list[list[str]]:
    return [[m.id for m in wire.decode(store.payload).messages] for store in work.then if store.wire]


def test_an_outbox_gives_what_has_gathered_in_its_order():
    outbox = an_outbox()
    first, second = Delivery(0, b"", None, 1), Delivery(0, b"", None, 2)
    sent(outbox, packed(0), packed(1))
    outbox.put(first)
    sent(outbox, packed(2))
    outbox.put(second)
    work = outbox.take()
    assert stored_ids(work) == [["s.0", "s.1", "s.2"]]
    assert work.settled == [first, second]
    assert outbox.take() is None


def test_a_delivery_is_settled_with_the_last_of_its_messages():
    outbox = an_outbox()
    outbox.demand.limits = [2]
    delivery = Delivery(0, b"", None, 1)
    sent(outbox, packed(0), packed(1))
    sent(outbox, packed(2), packed(3), packed(4))
    outbox.put(delivery)
    works = [outbox.take(), outbox.take()]
    assert [stored_ids(work) for work in works] == [[["s.0", "s.1"]], [["s.2", "s.3"], ["s.4"]]]
    assert [work.settled for work in works] == [[], [delivery]]


def test_work_stands_alone_between_what_was_put_before_and_after():
    outbox = an_outbox()
    alone = Work(then=[Store("x", b"")])
    sent(outbox, packed(0))
    outbox.put(alone)
    sent(outbox, packed(1))
    assert stored_ids(outbox.take()) == [["s.0"]]
    assert outbox.take() is alone
    assert stored_ids(outbox.take()) == [["s.1"]]


def test_only_the_latest_place_is_looked_at():
    outbox = an_outbox()
    outbox.locate = lambda mark: Store("place", str(mark).encode())
    for number in range(5):
        sent(outbox, packed(number), place=number)
    assert outbox.take().after == Store("place", b"4")


def test_a_batch_is_bounded_in_bytes_also_for_a_small_broker():
    for max_payload in (2**16, 2**20):
        outbox = an_outbox(max_payload=max_payload)
        sent(outbox, *(packed(number, 30_000) for number in range(30)))
        payloads = []
        while (work := outbox.take()) is not None:
            payloads += [store.payload for store in work.then]
        assert max(map(len, payloads)) <= min(BATCH_BYTES, max_payload - HEADROOM) + 100
        assert sum(len(wire.decode(payload).messages) for payload in payloads) == 30


def test_it_is_full_until_enough_was_taken():
    outbox = an_outbox()
    assert outbox.wait_for_room(0)
    while not outbox.full:
        sent(outbox, packed(0, 100_000))
    assert not outbox.wait_for_room(0)
    while outbox.take() is not None:
        pass
    assert outbox.wait_for_room(0)


def test_what_the_transport_failed_with_is_raised_to_who_waits():
    outbox = an_outbox()
    while not outbox.full:
        sent(outbox, packed(0, 100_000))
    outbox.fail(ConnectionError("gone"))
    with pytest.raises(ConnectionError, match="gone"):
        outbox.wait_for_room(60)


def test_packing_addresses_and_bounds_messages():
    outputs = (Output("a", 0, 1, (0,), (1,)), Output("b", 1), Output("c", 2, 1, (1,), (1,)))
    outbox = an_outbox(*outputs, max_message=1000)
    packing = Packing(outbox._assignment, outbox)
    made = []
    packing.pack_into(made, BytesMessage(data=b"1"), *file("s.0"))
    packing.pack_into(made, BytesMessage(data=b"2").to("c"), *file("s.1"))
    packing.pack_into(made, BytesMessage(data=b"3").to("b"), *file("s.2"))
    assert [(index, one[4]) for index, one in made] == [(0, b"1"), (2, b"1"), (2, b"2")]
    with pytest.raises(MessageTooLargeError, match="1,001 bytes of data"):
        packing.pack_into(made, BytesMessage(data=bytes(1001)), *file("s.3"))
    assert len(made) == 3


def test_pieces_fit_into_messages_and_are_the_data():
    data = bytes(range(256)) * 1000
    cut = pieces(data, HEADROOM + 1000)
    assert b"".join(cut) == data
    assert max(map(len, cut)) == 1000
    assert pieces(b"", HEADROOM + 1) == []


@pytest.mark.parametrize(
    "about",
    [
        {"blob": "x"},
        {"blob": 1, "chunks": 1},
        {"blob": "x", "chunks": 2.0},
        {"blob": "*", "chunks": 1},
        {"blob": "x.0", "chunks": 1},
        {"blob": "x 5\r\n", "chunks": 1},
        {"blob": "", "chunks": 1},
    ],
)
def test_a_wrong_reference_is_an_error(about):
    assert Reference.of({}) is None
    assert Reference.of({"blob": "x", "chunks": 2}) == Reference("x", 2)
    with pytest.raises(WireError):
        Reference.of(about)


def test_a_batch_can_be_made_again_whatever_the_kernel_did():
    payload = wire.encode([wire.pack(BytesMessage(MessageHeader(meta={"a": [1]}), b"x"), *file("s.0"))])
    batch = Batch.open(Delivery(0, payload, wire.FORMAT, None), "in")
    batch.messages[0].meta["a"].append(2)
    batch.messages[0].data = b"y"
    [fresh] = batch.fresh()
    assert (fresh.meta, fresh.data, fresh.port) == ({"a": [1]}, b"x", "in")
    assert batch.untouched(0).meta == {"a": [1]}


def test_indexes_as_ranges():
    assert ranges([]) == []
    assert ranges([0, 1, 2, 5, 7, 8]) == [range(3), range(5, 6), range(7, 9)]


def runs(*message_ids: str) -> list[Run]:
    return runs_of(*zip(*map(file, message_ids), strict=True))


class TestSlot:
    def test_it_names_the_message_of_the_call_and_its_attempt(self, tmp_path):
        with Slot(tmp_path / "slot") as written:
            assert slot.read(tmp_path / "slot") == ([], [])
            written.begin(3, runs("s.0", "s.1/2.0", "s.2/2.0", "ä.7"), 2)
            assert slot.read(tmp_path / "slot")[0] == [], "not yet in a call"
            for number, name in enumerate(["s.0", "s.1/2.0", "s.2/2.0", "ä.7"], 1):
                written.current[0] = number
                assert slot.read(tmp_path / "slot")[0] == [Call(3, name, 2)]
            written.leave()
            assert slot.read(tmp_path / "slot")[0] == []
            written.current[0] = 9
            assert slot.read(tmp_path / "slot")[0] == [], "there is no such message"

    def test_one_that_was_asked_to_end_says_in_which_call(self, tmp_path):
        with Slot(tmp_path / "slot") as written:
            written.begin(0, runs("s.0", "s.1"), 1)
            written.keep()
            written.tell_kept()
            assert not slot.was_asked(tmp_path / "slot"), "there was no call"
            written.current[0] = 2
            written.keep()
            written.begin(1, runs("t.7"), 3)
            written.tell_kept()
            assert slot.read(tmp_path / "slot")[0] == [Call(0, "s.1", 1)]
            assert slot.was_asked(tmp_path / "slot")
        with Slot(tmp_path / "slot"):
            assert not slot.was_asked(tmp_path / "slot")

    def test_what_is_held_comes_in_its_order(self, tmp_path):
        with Slot(tmp_path / "slot") as written:
            for name in "abcde":
                written.hold(f"reply.{name}")
            written.release("reply.b")
            written.hold("reply.f")
            written.release("unknown")
            assert slot.read(tmp_path / "slot")[1] == [f"reply.{name}" for name in "acdef"]

    def test_beyond_its_room_nothing_breaks(self, tmp_path):
        with Slot(tmp_path / "slot") as written:
            names = [f"reply.{number}" for number in range(1000)]
            for name in names:
                written.hold(name)
            written.hold("x" * 1000)
            assert slot.read(tmp_path / "slot")[1] == names[: len(slot.read(tmp_path / "slot")[1])]
            written.begin(0, runs(*(f"{number}-{'x' * 1000}.0" for number in range(1000))), 1)
            written.current[0] = 5
            assert slot.read(tmp_path / "slot")[0][0].message_id.startswith("4-")
            written.current[0] = 999
            assert slot.read(tmp_path / "slot")[0] == []

    def test_the_next_incarnation_begins_empty(self, tmp_path):
        with Slot(tmp_path / "slot") as written:
            written.begin(0, runs("s.0"), 1)
            written.current[0] = 1
            written.hold("reply")
        with Slot(tmp_path / "slot"):
            assert slot.read(tmp_path / "slot") == ([], [])

    @pytest.mark.parametrize(
        "ids", [b"\xc1" * 9, msgpack.packb([1]), msgpack.packb([[1, 2, 3, 4]]), b"\x91" * 5000, b""]
    )
    def test_what_a_kernel_wrote_over_it_names_nothing(self, tmp_path, ids):
        with Slot(tmp_path / "slot") as written:
            written.begin(0, runs("s.0"), 1)
            written._map[slot._IDS_AT : slot._IDS_AT + len(ids)] = ids
            slot._HEAD.pack_into(written._map, 0, 1, 0, 1, len(ids))
            assert slot.read(tmp_path / "slot") == ([], [])

    def test_a_slot_that_was_never_made_says_nothing(self, tmp_path):
        assert slot.read(tmp_path / "none") == ([], [])
        (tmp_path / "short").write_bytes(b"x")
        assert slot.read(tmp_path / "short") == ([], [])


class TestFailures:
    def test_the_last_attempt(self):
        assert [is_last(n, 3) for n in (1, 2, 3, 4)] == [False, False, True, True]
        assert not is_last(10**9, 0)

    def test_the_backoff_doubles_up_to_its_bound(self):
        assert [backoff(n) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]
        assert backoff(10**6) == BACKOFF_MOST

    def test_what_is_kept_fits_beside_the_message(self):
        def deep(n):
            if n:
                deep(n - 1)
            raise ValueError("ä\ud800" * 100_000)

        with pytest.raises(ValueError) as caught:
            deep(300)
        kept = Failure.of(caught.value, 2)
        assert len(msgpack.packb(kept.to_value())) < HEADROOM - 1000
        assert kept.error.startswith("ValueError: ä\\ud800")
        assert Failure.from_value(kept.to_value()) == kept


def test_a_checkpoint_comes_back_as_it_was():
    applied = AppliedIds({0: 2})
    applied.add(0, *file("s.4"))
    applied.forget("t", 7)
    state = {"a": np.arange(6).reshape(2, 3), "b": {"c": [1, None, b"x"]}, 3: 4.5}
    made = Checkpoint(applied=applied, position=3, epoch=2, outbox=[("x", b"y", "z")], finishes=1, finished=True)
    made.drained = made.resumes = True
    again = checkpoint.decode(checkpoint.encode(made, checkpoint.encode_state(state)), {0: 2})
    assert again.state["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert again.state["a"].flags.writeable
    assert again.state["b"] == state["b"]
    assert again.state[3] == 4.5
    assert again.applied.seen(0, *file("s.4"))
    assert not again.applied.seen(0, *file("s.6"))
    assert again.applied.seen(1, *file("t.6/1.0"))
    fields = ("position", "epoch", "outbox", "finishes", "finished", "drained", "resumes")
    assert [getattr(again, f) for f in fields] == [getattr(made, f) for f in fields]


def test_a_checkpoint_of_another_version_is_refused():
    with pytest.raises(WireError, match="version 99"):
        checkpoint.decode(msgpack.packb([99, 1, 2]))


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()])])
def test_state_that_cannot_be_stored_is_named(value):
    with pytest.raises(WireError, match=r"context\.state cannot be stored: .*; keep numbers"):
        checkpoint.encode_state({"x": value})


def test_an_assignment_comes_back_as_it_was():
    made = Assignment(
        "r", 1, "a", 2, (Input(0, "in", 3, 2),), (Output("out", 4, 6, (1, 2), (5,)),), 1.5, 0, 2**16, 2**20, 2.0
    )
    assert Assignment.from_value(json.loads(json.dumps(made.to_value()))) == made
    with pytest.raises(SettingsError, match=r"version 9, .* reads 2 to 5: .* interactem operator build"):
        Assignment.from_value({**made.to_value(), "version": 9})


class Listening:
    """A transport that only listens to reports."""

    def __init__(self) -> None:
        self.reports: list[dict] = []

    def report(self, subject: str, payload: bytes) -> None:
        self.reports.append(msgpack.unpackb(payload))


def test_events_gather_and_are_bounded():
    transport = Listening()
    reporter = Reporter(transport, "numbers", "events", Counts())
    for number in range(500):
        reporter.event("dead", {"id": f"s.{number}", "error": "e" * 1000})
    reporter.report()
    reporter.report()
    [events, first, second] = transport.reports
    dead = [event for event in events["events"] if event["kind"] == "dead"]
    assert events["events"][-1] == {"kind": "omitted", "events": 500 - len(dead)}
    assert 40 < len(dead) <= EVENT_BYTES // 1000
    assert "events" not in first | second, "what reads the numbers reads no errors"


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc1", b"x", msgpack.packb([1]), msgpack.packb({}), msgpack.packb({"kernel": "fast", "waiting": 0}),
     msgpack.packb({"kernel": None, "waiting": 1}), msgpack.packb({"kernel": 1.0}), msgpack.packb(7) * 2],
)  # fmt: skip
def test_what_is_no_report_is_not_heard(payload):
    assert kernel_and_waiting(payload) is None
    assert kernel_and_waiting(msgpack.packb(Counts(kernel=0.5, waiting=3).to_value())) == (0.5, 3)


def test_the_first_speed_is_told_at_once():
    transport = Listening()
    reporter = Reporter(transport, "numbers", "events", Counts())
    reporter.report()
    reporter.now_and_then()
    assert len(transport.reports) == 1
    reporter.counts.timed(2, 1.0)
    reporter.now_and_then()
    reporter.now_and_then()
    assert [report["kernel"] for report in transport.reports] == [0.0, 0.5]


def test_failures_that_are_alike_are_counted(caplog):
    now = [100.0]
    log = FailureLog(logging.getLogger("interactem.operator"), lambda: now[0])

    def failure(number):
        try:
            raise (ValueError if number % 2 else KeyError)(f"number {number}")
        except (ValueError, KeyError) as error:
            return Failure.of(error, 1)

    with caplog.at_level(logging.WARNING):
        for number in range(200):
            log.log(f"message {number}", failure(number))
        now[0] += 2
        log.log("message 200", failure(200))
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "Traceback" in line]) == 3 + 3 + 1
    assert [line.partition(": ")[0] for line in lines if "more" in line] == ["97 more failures like it"] * 2


def test_settings_come_from_the_environment_alone():
    given = {
        "INTERACTEM_RUN": "r",
        "INTERACTEM_OPERATOR": "3",
        "INTERACTEM_BROKER": "nats://127.0.0.1:4222",
        "INTERACTEM_CREDENTIALS": "/secret",
        "INTERACTEM_SLOT": "/slot",
        "INTERACTEM_PARENT": "17",
    }
    settings = Settings.read(given)
    assert settings == Settings(
        "r", 3, Address("nats://127.0.0.1:4222", Path("/secret")), 0, Path("outputs"), Path("/slot"), parent=17
    )


def test_all_that_is_missing_or_wrong_is_said_at_once():
    with pytest.raises(SettingsError) as caught:
        Settings.read({"INTERACTEM_OPERATOR": "x", "INTERACTEM_REPLICA": "-1"})
    for words in (
        "INTERACTEM_RUN is not set",
        "INTERACTEM_BROKER is not set",
        "INTERACTEM_OPERATOR must be a whole number from 0, not 'x'",
        "INTERACTEM_REPLICA must be a whole number from 0, not '-1'",
    ):
        assert words in str(caught.value)


def test_credentials_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(SettingsError, match="no user and password"):
        Address("x", tmp_path / "none").login()
    (tmp_path / "login").write_text('{"user": "u", "password": "p"}')
    assert Address("x", tmp_path / "login").login() == {"user": "u", "password": "p"}

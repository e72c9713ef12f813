"""Sources that read from positions of their own: they resume where they were, and hear what is safe."""

from __future__ import annotations

import itertools
import threading

import pytest
from delivery_harness import Collected, crash_at, message, sink, source

from interactem.runtime import EndOfStream, Source, checkpoint, operator
from interactem.runtime.errors import KernelError
from interactem.runtime.kinds.sources import unpack_position
from interactem.runtime.replica import SourceError


class Shelf:
    """Something outside that is read from: what was acknowledged is gone from it."""

    def __init__(self, count):
        self.items = {f"k{n:02}": n for n in range(count)}
        self.acks = []
        self.reads = []

    def after(self, position, most):
        self.reads.append(position)
        if self.acks and (position is None or position < self.acks[-1]):
            raise AssertionError(f"read from {position} what was acknowledged up to {self.acks[-1]}")
        return [(n, key) for key, n in sorted(self.items.items()) if position is None or key > position][:most]


def from_shelf(shelf, *, at_once=3, **options):
    @operator.source(**options)
    class FromShelf(Source):
        def read(self, position, most):
            found = shelf.after(position, min(at_once, most))
            if not found:
                raise EndOfStream
            return [(message(str(n).encode()), key) for n, key in found]

        def ack(self, position):
            shelf.acks.append(position)

    return FromShelf


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_source_killed_at_any_step_sends_each_message_once(flow, before):
    for step in itertools.count():
        shelf, out = Shelf(8), Collected()
        made = flow({"s": source(from_shelf(shelf)), "k": sink(out)}, ["s > k"])
        prepare, crashed = crash_at(step, before=before)
        made.start("s", prepare=prepare)
        made.start("k")
        made.finish()
        assert sorted(zip(out.ids, out.ints, strict=True)) == [(f"s.{n}", n) for n in range(8)], step
        assert shelf.acks == sorted(shelf.acks)
        assert shelf.acks[-1] == "k07"
        made.close()
        if not crashed.is_set():
            break
    assert step >= 3


def test_a_position_is_acknowledged_only_once_it_is_stored(flow):
    shelf, out = Shelf(6), Collected()
    stored = []

    def tell(position):
        stored.append((position, made.backend.records()[made.names.record(0, 0, "checkpoint")]))

    @operator.source(ack=tell)
    def read(position, most):
        found = shelf.after(position, 1)
        if not found:
            raise EndOfStream
        yield message(str(found[0][0]).encode()), found[0][1]

    made = flow({"s": source(read), "k": sink(out)}, ["s > k"])
    made.run()
    positions = [position for position, _ in stored]
    assert positions == sorted(positions)
    assert positions[-1] == "k05"
    places = [checkpoint.decode(record).place for _, record in stored]
    assert all(unpack_position(place) >= position for (position, _), place in zip(stored, places, strict=True))


def test_a_source_that_has_nothing_now_is_asked_again(flow):
    shelf, out = Shelf(2), Collected()
    asked = threading.Event()

    @operator.source
    def read(position, most):
        if len(shelf.reads) > 4:
            asked.set()
        return [(message(str(n).encode()), key) for n, key in shelf.after(position, most)]

    made = flow({"s": source(read), "k": sink(out)}, ["s > k"])
    made.start_all()
    assert asked.wait(30)
    shelf.items["k02"] = 2
    out.wait(3)
    made.backend.tell(made.names.control(0, "drain"), b"{}")
    made.finish()
    assert out.ints == [0, 1, 2]


def test_a_message_may_be_left_out_and_a_position_hold_several(flow):
    @operator.source
    async def read(position, most, parameters):
        begin = 0 if position is None else position["next"]
        if begin == 4:
            raise EndOfStream
        made = {0: None, 1: [message(b"1"), message(b"2")], 2: [], 3: message(b"3")}[begin]
        return [(made, {"next": begin + 1})]

    out = Collected()
    flow({"s": source(read), "k": sink(out)}, ["s > k"]).run()
    assert sorted(out.ints) == [1, 2, 3]


def test_an_acknowledgement_that_fails_is_told_and_made_again(flow):
    heard = []

    def tell(position):
        heard.append(position)
        if len(heard) < 2:
            raise ConnectionError("the queue does not answer")

    @operator.source(ack=tell)
    def read(position, most):
        if position == 5:
            raise EndOfStream
        return [(message(b"0"), (position or 0) + 1)]

    out = Collected()
    made = flow({"s": source(read), "k": sink(out)}, ["s > k"])
    made.start_all()
    made.finish()
    assert heard[-1] == 5
    [event] = [e for e in made.events(1) if e["kind"] == "failure"]
    assert (event["reason"], event["error"]) == ("ack", "ConnectionError: the queue does not answer")


def test_a_source_whose_acknowledgements_fail_fails_with_everything_stored(flow):
    def tell(position):
        raise ConnectionError("the queue does not answer")

    @operator.source(ack=tell)
    def read(position, most):
        if position == 3:
            raise EndOfStream
        return [(message(b"0"), (position or 0) + 1)]

    out = Collected()
    made = flow({"s": source(read), "k": sink(out)}, ["s > k"])
    running = made.start("s")
    running.join()
    assert isinstance(running.error, SourceError)
    assert "ack failed 3 times in a row: ConnectionError: the queue does not answer" in str(running.error)
    made.start("k")
    out.wait(3)


def test_one_that_cannot_be_read_again_goes_on_from_its_position_under_new_ids(flow):
    shelf, out = Shelf(6), Collected()
    made = flow({"s": source(from_shelf(shelf, replayable=False)), "k": sink(out)}, ["s > k"])
    made.start("s").join()
    made.start("s")
    made.start("k")
    made.finish()
    assert out.ints == list(range(6))
    assert shelf.reads[-1] == "k05"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (message(b"1"), "read gave a BytesMessage; it gives pairs"),
        ([message(b"1")], "read gave a BytesMessage without a position"),
        ([(message(b"1"), object())], "cannot be stored"),
        ([(message(b"1"), "x" * 70_000)], "a position of 70,005 bytes"),
    ],
)
def test_what_is_no_message_with_a_position_is_refused(flow, given, said):
    @operator.source
    def read(position, most):
        return given

    running = flow({"s": source(read), "k": sink(Collected())}, ["s > k"]).start("s")
    running.join()
    assert said in str(running.error)


def test_what_cannot_read_is_refused_where_it_is_defined():
    with pytest.raises(KernelError, match="unknown argument 'size'"):
        operator.source(lambda position, size: [])
    with pytest.raises(KernelError, match="ack is for a source that reads"):
        operator.source(ack=print)(lambda inputs, parameters: None)

    class Without(Source):
        pass

    with pytest.raises(KernelError, match=r"has a method read"):
        operator.source(Without)

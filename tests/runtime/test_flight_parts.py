"""The parts of flights that decide: who goes when, what leaves in what order, and what the crash slot says of it."""

from __future__ import annotations

from types import SimpleNamespace

from interactem.runtime import BytesMessage
from interactem.runtime import slot as slots
from interactem.runtime.controls import malformed
from interactem.runtime.flight.items import Item
from interactem.runtime.flight.order import Order
from interactem.runtime.flight.queue import Queue
from interactem.runtime.ids import Run, series_of
from interactem.runtime.slot import Call, Slot


def item(place, arrived=0.0, *, alone=False):
    return Item(SimpleNamespace(), 0, BytesMessage(data=b"x"), place, arrived, 0, alone)


def places(items):
    return [one.place for one in items]


def test_a_batch_goes_when_it_is_full_or_old_enough():
    queue = Queue(3, 1.0)
    for place in range(4):
        queue.add(item(place, arrived=place / 10))
    assert places(queue.take(0.3, 0)) == [0, 1, 2]
    assert queue.take(0.5, 0) == []
    assert round(queue.patience(0.5), 6) == 0.8
    assert places(queue.take(1.3, 0)) == [3]
    assert queue.patience(2.0) is None


def test_at_the_end_nothing_waits_long():
    queue = Queue(3, 1000.0)
    queue.add(item(0))
    assert queue.take(1.0, 0) == []
    queue.ends = True
    assert places(queue.take(1.0, 0)) == [0]


def test_what_is_tried_alone_goes_by_itself_when_nothing_is_in_flight():
    queue = Queue(3, 0.0)
    for one in (item(0), item(1, alone=True), item(2)):
        queue.add(one)
    assert places(queue.take(0.0, 0)) == [0]
    assert queue.take(0.0, 1) == []
    assert places(queue.take(0.0, 0)) == [1]
    assert places(queue.take(0.0, 0)) == [2]


def test_what_is_tried_again_goes_first_once_it_is_time():
    queue = Queue()
    queue.add(item(5))
    queue.add_later(item(2), 10.0)
    assert (len(queue), queue.waiting, queue.patience(4.0)) == (2, 1, 6.0)
    assert places(queue.take(4.0, 0)) == [5]
    assert places(queue.take(10.0, 0)) == [2]


def test_places_beyond_a_bound_do_not_go():
    queue = Queue(4, 0.0)
    for place in range(4):
        queue.add(item(place))
    assert places(queue.take(0.0, 0, stop=2)) == [0, 1]
    assert queue.take(0.0, 0, stop=2) == []


def test_order_holds_back_what_landed_too_early():
    order = Order()
    for place in (2, 1):
        order.land(item(place), place)
    assert order.leaving() == []
    order.skip(0)
    assert [outcome for _, outcome in order.leaving()] == [1, 2]
    pairs = [(item(4), 4), (item(5), 5)]
    order.back(pairs, 3)
    order.land(item(3), 3)
    assert [outcome for _, outcome in order.leaving()] == [3, 4, 5]
    order.skip(7)
    order.land(item(8), 8)
    order.land(item(6), 6)
    _, *behind = order.leaving()
    order.back(behind, 6)
    order.land(item(6), 6)
    assert [outcome for _, outcome in order.leaving()] == [6, 8]
    order.land(item(19), 19)
    assert [outcome for _, outcome in order.rest()] == [19]


def test_the_slot_names_all_that_is_in_flight(tmp_path):
    series = series_of("s.", "")
    with Slot(tmp_path / "slot") as slot:
        slot.fly([(3, 1, [Run(series, 5, 2)]), (4, 2, [Run(series, 9, 1)])])
        first = [Call(3, "s.5", 1), Call(3, "s.6", 1), Call(4, "s.9", 2)]
        assert slots.read(tmp_path / "slot")[0] == first
        slot.fly([(3, 1, [Run(series, 7, 1)])])
        assert slots.read(tmp_path / "slot")[0] == [Call(3, "s.7", 1)]
        slot.fly([(0, 1, [Run(series, 2 * n, 1)]) for n in range(30_000)])
        assert 1_000 < len(slots.read(tmp_path / "slot")[0]) < 30_000, "as many as there is room for"
        slot.fly([])
        assert slots.read(tmp_path / "slot")[0] == []


def test_a_malformed_crash_of_several_is_ignored():
    crash = '{"edge": 1, "id": "s.1", "attempts": 1, "error": "x", "others": %s}'
    assert malformed("crash", (crash % '[[1, "s.2", 1]]').encode()) == ""
    for others in ("1", '[["1", "s.2", 1]]', "[[1]]", "[1]"):
        assert malformed("crash", (crash % others).encode())

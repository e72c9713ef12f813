"""Nothing goes past what somebody else was handed before."""

from __future__ import annotations

import random

from interactem.runtime.transports import Delivery
from interactem.runtime.transports.succession import Succession


def delivery(sequence):
    return Delivery(0, b"", None, "", sequence)


def sequences(deliveries):
    return [one.sequence for one in deliveries]


def test_where_nothing_is_under_way_all_goes_on_at_once():
    order = Succession(7, 0)
    for number, sequence in ((8, 20), (9, 22), (10, 23)):
        assert not order.count(number)
        assert sequences(order.take(delivery(sequence), again=False)) == [sequence]


def test_what_was_under_way_goes_first_and_all_in_its_order():
    order = Succession(10, 2)
    for number, sequence, again, passed in ((11, 9, False, []), (12, 5, True, []), (13, 4, True, [4, 5, 9])):
        order.count(number)
        assert sequences(order.take(delivery(sequence), again=again)) == passed
    assert order.missing == 0


def test_a_number_that_is_missing_is_waited_for():
    order = Succession(0, 0)
    order.count(1)
    assert sequences(order.take(delivery(1), again=False)) == [1]
    assert order.count(3)
    assert order.take(delivery(3), again=False) == []
    order.count(4)
    order.settled(1)
    assert order.take(delivery(1), again=True) == [], "it was settled, so it is not what is missing"
    order.count(5)
    assert sequences(order.take(delivery(2), again=True)) == [1, 2, 3]


def test_a_broker_that_was_killed_counts_from_before():
    order = Succession(100, 0)
    assert not order.count(90)
    assert sequences(order.take(delivery(50), again=False)) == [50]
    assert not order.count(91)


def test_it_can_be_told_that_nothing_is_missing():
    order = Succession(3, 1)
    order.count(4)
    assert order.take(delivery(8), again=False) == []
    assert sequences(order.clear()) == [8]
    order.count(5)
    assert sequences(order.take(delivery(9), again=False)) == [9]


def test_whatever_a_dead_reader_was_handed_nothing_goes_past_it():
    choose = random.Random(5)
    for _ in range(300):
        dead = set(range(1, choose.randint(1, 6)))  # what it held when the reader began
        order = Succession(len(dead), len(dead))
        new, again, number, passed = iter(range(len(dead) + 1, 30)), sorted(dead), len(dead), []
        choose.shuffle(again)
        waiting = next(new, None)
        while waiting is not None or again:
            number += 1
            if again and (waiting is None or choose.random() < 0.3):
                one, came = again.pop(), True
            elif waiting is None:
                break
            elif choose.random() < 0.2:  # it goes to a reader that is dead already
                again.insert(0, waiting)
                waiting = next(new, None)
                continue
            else:
                one, came, waiting = waiting, False, next(new, None)
            order.count(number)
            passed += sequences(order.take(delivery(one), again=came))
        assert passed + sequences(order.clear()) == list(range(1, 30))

"""Dead letters as they are read, sent once more and dropped."""

from __future__ import annotations

import asyncio

import pytest

from interactem.engine.errors import EngineError
from interactem.engine.letters import drop, letters, redrive, unfinish
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime import BytesMessage, MessageHeader, wire
from interactem.runtime.assignment import Assignment, Input, Output
from interactem.runtime.ids import file

SOURCE = Assignment("r", 0, "source", outputs=(Output("out", 0, 1, (0,), (1,)),))
MIDDLE = Assignment("r", 1, "middle", inputs=(Input(0, "in", 0, 1),), outputs=(Output("out", 1, 1, (1,), (2,)),))
SINK = Assignment("r", 2, "sink", inputs=(Input(1, "in", 1, 1),))
PLAN = Plan("r", "test", "process", tuple(PlannedOperator(a.name, a.name, "/", a) for a in (SOURCE, MIDDLE, SINK)), {})
NAMES = PLAN.names


def put(shelf, number, *, operator="middle", edge=0, time=0.0, **more):
    message = BytesMessage(MessageHeader(meta={"number": number}), b"data", id=f"source.{number}")
    about = {
        "operator": operator,
        "port": "in",
        "edge": edge,
        "partition": 0,
        "time": time,
        "failure": {"error": "ValueError: no", "traceback": "Traceback", "attempts": 3},
        **more,
    }
    subject = NAMES.dead(edge, message.id)
    shelf.stored[subject] = wire.encode([wire.pack(message, *file(message.id))], about)
    return subject


def run(coroutine):
    return asyncio.run(coroutine)


def test_the_oldest_first(shelf):
    for number, time in ((1, 3.0), (2, 1.0), (3, 1.0)):
        put(shelf, number, time=time)
    found = run(letters(shelf, PLAN))
    assert [letter.id for letter in found] == ["source.2", "source.3", "source.1"]
    assert found[0].to_value() == {
        "id": "source.2",
        "operator": "middle",
        "port": "in",
        "error": "ValueError: no",
        "traceback": "Traceback",
        "attempts": 3,
        "time": 1.0,
        "bytes": 4,
        "meta": {"number": 2},
    }


def test_what_is_no_letter_is_said(shelf):
    shelf.stored[NAMES.dead(0, "source.1")] = b"nonsense"
    with pytest.raises(EngineError, match=r"the dead letter at i\.r\.d\.0\..* cannot be read"):
        run(letters(shelf, PLAN))


@pytest.mark.parametrize(
    "wrong", [{"partition": 1}, {"partition": "0.>"}, {"redriven": "often"}, {"failure": None}, {"time": "now"}]
)
def test_what_a_letter_says_wrongly_is_said(shelf, wrong):
    put(shelf, 1, **wrong)
    with pytest.raises(EngineError, match="cannot be read"):
        run(letters(shelf, PLAN))


def test_a_letter_goes_back_to_where_it_failed_whatever_it_says(shelf):
    """An operator can write what it likes into a letter of its own, but not under another's subject."""
    shelf.stored[NAMES.dead(0, "source.7")] = shelf.stored.pop(put(shelf, 7, operator="sink", port="other", edge=1))
    (letter,) = run(letters(shelf, PLAN))
    assert (letter.operator, letter.port) == ("middle", "in")
    run(redrive(shelf, PLAN, [letter]))
    assert NAMES.retry(0, 0) in shelf.stored
    assert NAMES.retry(1, 0) not in shelf.stored


def test_a_letter_is_sent_again_under_a_new_root_and_removed(shelf):
    subject = put(shelf, 7, blob="b", chunks=2)
    assert run(redrive(shelf, PLAN, run(letters(shelf, PLAN)))) == ["middle"]
    assert subject not in shelf.stored
    [message], _, _, about = wire.decode(shelf.stored[NAMES.retry(0, 0)])
    assert (message.id, bytes(message.data), message.header.meta) == ("source!1.7", b"data", {"number": 7})
    assert about == {"blob": "b", "chunks": 2, "redriven": 1}


def test_the_next_time_it_has_another_root_again(shelf):
    put(shelf, 7, redriven=1)
    run(redrive(shelf, PLAN, run(letters(shelf, PLAN))))
    [message], _, _, about = wire.decode(shelf.stored[NAMES.retry(0, 0)])
    assert (message.id, about["redriven"]) == ("source!2.7", 2)


def test_what_cannot_be_read_by_its_operator_stays_with_all_others(shelf):
    kept = {put(shelf, 1), put(shelf, 2, unreadable=True)}
    with pytest.raises(EngineError, match=r"source\.2 is not a message"):
        run(redrive(shelf, PLAN, run(letters(shelf, PLAN))))
    assert shelf.stored.keys() == kept


def test_letters_of_an_operator_that_has_come_to_its_end_stay(shelf):
    kept = {put(shelf, 1)}
    kept.add(NAMES.control(1, "finish"))
    shelf.stored[NAMES.control(1, "finish")] = b"{}"
    with pytest.raises(EngineError, match="middle has come to its end; when the run has too, try again"):
        run(redrive(shelf, PLAN, run(letters(shelf, PLAN))))
    assert shelf.stored.keys() == kept


def test_an_operator_that_ends_in_the_meantime_keeps_its_letters(shelf):
    subject = put(shelf, 1)
    found = run(letters(shelf, PLAN))
    store = shelf.store

    async def store_and_end(item):
        await store(item)
        shelf.stored[NAMES.control(1, "finish")] = b"{}"

    shelf.store = store_and_end
    with pytest.raises(EngineError, match="has come to its end"):
        run(redrive(shelf, PLAN, found))
    assert subject in shelf.stored


def test_dropped_for_good(shelf):
    put(shelf, 1)
    kept = put(shelf, 2)
    run(drop(shelf, PLAN, run(letters(shelf, PLAN))[:1]))
    assert shelf.stored.keys() == {kept}


def test_an_operator_and_all_behind_it_go_on(shelf):
    for operator in range(3):
        shelf.stored[NAMES.control(operator, "finish")] = b"{}"
        shelf.stored[NAMES.record(operator, 0, "finished")] = b"{}"
    run(unfinish(shelf, PLAN, ["middle"]))
    assert shelf.stored.keys() == {NAMES.control(0, "finish"), NAMES.record(0, 0, "finished")}

"""Tables against a dict: what is stored, brought back and found again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.runtime.blobs import Reference
from interactem.runtime.errors import StateTooLargeError, WireError
from interactem.runtime.segments import LEAST_BYTES, TAIL_BYTES, Segments
from interactem.runtime.tables import Tables

keys = st.integers(0, 5)
steps = st.one_of(
    st.tuples(st.just("put"), keys, st.integers(0, 3)),
    st.tuples(st.just("remove"), keys),
    st.sampled_from([("store",), ("back",), ("mark",), ("undo",)]),
)


@given(st.lists(steps, max_size=60))
def test_a_table_is_stored_by_its_changes(script):
    tables, stored = Tables(), Tables()
    table = tables.table("t")
    model, at_store, at_mark = {}, {}, None
    for what, *rest in script:
        if what == "put":
            table.put(*rest)
            model[rest[0]] = rest[1]
        elif what == "remove":
            table.remove(*rest)
            model.pop(rest[0], None)
        elif what == "store":
            stored.apply(tables.changes())
            at_store, at_mark = dict(model), None
            assert stored.table("t").values == model
        elif what == "back":
            tables.roll_back()
            model, at_mark = dict(at_store), None
        elif what == "mark":
            tables.mark()
            at_mark = dict(model)
        elif at_mark is not None:
            tables.undo()
            model, at_mark = at_mark, None
        assert table.values == model
    stored.apply(tables.changes())
    assert stored.table("t").values == model
    assert tables.changes() == b""
    whole = Tables()
    whole.apply(tables.everything())
    assert whole.table("t").values == model


class Broker:
    """Where segments are stored, and who has removed what."""

    def __init__(self):
        self.stored = {}
        self.written = 0

    def take(self, segments):
        stores, old = segments.store()
        for item in stores:
            assert item.kept
            self.stored[item.subject] = item.payload
            self.written += len(item.payload)
        for subject in [subject for reference in old for subject in subjects_of(reference)]:
            del self.stored[subject]
        return segments.to_value()

    def read(self, subjects):
        return b"".join(self.stored[subject] for subject in subjects)


def subjects_of(reference: Reference):
    return [f"{reference.blob}.{number}" for number in range(reference.chunks)]


def segments_of(tables, most=2**30):
    return Segments(tables, subjects_of, 200_000, most)


def test_segments_are_put_together_before_they_take_too_much():
    tables, broker = Tables(), Broker()
    segments, table = segments_of(tables), tables.table("t")
    changed = 0
    for number in range(3000):
        for key in range(10):
            table.put((number * 7 + key) % 1000, (number, b"x" * 500))
            changed += 500
        if number % 3:
            table.remove(number % 1000)
        value = broker.take(segments)
        assert sum(map(len, broker.stored.values())) < 3 * 1000 * 520 + 2 * LEAST_BYTES
        assert sum(map(len, value[2])) <= TAIL_BYTES
    assert broker.written < 3 * changed
    again = Tables()
    segments_of(again).read(value, broker.read)
    assert again.table("t").values == table.values


def test_what_lives_for_less_than_a_checkpoint_is_never_stored():
    tables = Tables()
    segments, table = segments_of(tables), tables.table("t")
    for number in range(1000):
        table.put(number, b"x" * 1000)
        table.remove(number)
    assert segments.store() == ([], [])
    assert segments.to_value()[2] == []


def test_too_much_is_refused():
    tables = Tables()
    segments, table = segments_of(tables, 500_000), tables.table("t")
    for number in range(6):
        table.put(number, b"x" * 100_000)
    with pytest.raises(StateTooLargeError, match="over its bound of 500,000"):
        segments.store()


BROKEN = [
    [1],
    [1, [["a b", 1, 1]], []],
    [1, [[3, 1, 1]], []],
    [1, [], ["text"]],
    [1, [], [b"\xc1"]],
    [1, [], [b"\x93\x01\x02\x03"]],
]


@pytest.mark.parametrize("value", BROKEN, ids=str)
def test_what_cannot_be_understood_is_an_error_that_says_so(value):
    with pytest.raises(WireError):
        segments_of(Tables()).read(value, lambda subjects: b"")

from __future__ import annotations

import collections
import copy
import enum
import pickle

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.runtime import BytesMessage, MessageHeader, wire
from interactem.runtime.errors import TagsError, WireError
from interactem.runtime.ids import file
from interactem.runtime.messages import VIEW_FROM

PLAIN = (
    bytes.fromhex(
        "0e000000"  # 14 bytes of head
        "95"  # an array of five
        "9194a2732ea00001"  # one run of ids: "s." and nothing around 0, 1 of them
        "c0"  # no metas
        "c0"  # no trackings
        "9105"  # one size: 5
        "80"  # nothing known
    )
    + b"hello"
)
"""The golden bytes of version 2: a change of them is a new version."""

FULL = (
    bytes.fromhex("43000000")  # 67 bytes of head
    + b"\x95"
    + b"\x92\x94\xa2a.\xa0\x01\x02\x94\xa2a.\xa4/2.0\x01\x01"
    + b"\x93\xc4\x04\x81\xa1k\x01\xc4\x05\xc4\x03raw\xc4\x01\x80"
    + b"\x93\xc4\x01\xc0\xc4\x06\x81\xa3way\x02\xc4\x01\xc0"
    + b"\x93\x02\x00\x01"
    + b"\x81\xa8redriven\x01"
    + b"abc"
)


def packed(message: BytesMessage, message_id: str) -> wire.Packed:
    return wire.pack(message, *file(message_id))


def test_golden_bytes_of_an_ordinary_batch():
    assert wire.FORMAT == "3 msgpack"
    assert wire.encode([packed(BytesMessage(data=b"hello"), "s.0")]) == PLAIN
    [message], ids, runs, about = wire.decode(PLAIN, "in")
    assert (message.id, message.port, message.data, message.meta, message.header.tracking, about) == (
        "s.0",
        "in",
        b"hello",
        {},
        None,
        {},
    )
    assert ids == [file("s.0")]
    assert runs == [(file("s.0").series, 0, 1)]


def test_golden_bytes_of_a_batch_with_everything():
    first = BytesMessage(MessageHeader(meta={"k": 1}), b"ab")
    second = BytesMessage(MessageHeader(meta=b"raw", tracking={"way": 2}), b"")
    third = BytesMessage(data=b"c")
    batch = [packed(first, "a.1"), packed(second, "a.2"), packed(third, "a.1/2.0")]
    assert wire.encode(batch, {"redriven": 1}) == FULL


texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), texts)
values = st.recursive(
    st.one_of(scalars, st.binary(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=10,
)
metas = st.one_of(st.dictionaries(texts, values, max_size=4), st.binary(max_size=30))
trackings = st.one_of(st.none(), st.dictionaries(texts, values, max_size=3))
messages = st.builds(
    lambda meta, tracking, data: BytesMessage(MessageHeader(meta=meta, tracking=tracking), data),
    metas,
    trackings,
    st.binary(max_size=200),
)


@given(st.lists(st.tuples(texts, messages), max_size=8), st.dictionaries(texts, values, max_size=3))
def test_what_is_encoded_is_decoded(batch, about):
    found, ids, runs, found_about = wire.decode(wire.encode([packed(m, i) for i, m in batch], about))
    assert [m.id for m in found] == [i for i, _ in batch]
    assert ids == [file(i) for i, _ in batch] == [one for run in runs for one in run.ids()]
    assert [(m.header.meta or {}, m.data) for m in found] == [(m.header.meta or {}, m.data) for _, m in batch]
    assert [m.header.tracking or None for m in found] == [m.header.tracking or None for _, m in batch]
    assert found_about == about


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_a_wire_error(payload):
    try:
        wire.decode(payload)
    except WireError:
        pass


VALID = wire.encode(
    [packed(BytesMessage(MessageHeader(meta={"a": [1, {"b": b"c"}]}), b"data"), f"s.{n}/1.0") for n in range(3)],
    {"failure": {"attempts": 1, "error": "e", "traceback": "t"}},
)


@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(VALID)))
def test_mutated_bytes_raise_nothing_but_a_wire_error(changes, length):
    payload = bytearray(VALID)
    for at, value in changes:
        payload[at] = value
    for candidate in (bytes(payload), bytes(payload[:length])):
        try:
            found, ids, _, about = wire.decode(candidate)
        except WireError:
            continue
        assert [file(m.id) for m in found] == ids
        assert type(about) is dict
        for message in found:
            try:
                header = message.header
            except WireError:
                continue
            assert type(header.meta) in (dict, bytes)
            assert type(header.tracking) in (dict, type(None))


@given(values)
def test_heads_of_any_value_raise_nothing_but_a_wire_error(value):
    head = msgpack.packb(value)
    with pytest.raises(WireError):
        wire.decode(len(head).to_bytes(4, "little") + head)


RUN = ["a.", "", 0, 1]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ([[1], None, None, [0], {}], "its ids are not"),
        ([1, None, None, [0], {}], "its ids are not"),
        ([["a.0"], None, None, [0], {}], "its ids are not"),
        ([[["a.", "", 0]], None, None, [0], {}], "its ids are not"),
        ([[["a.", 0, 0, 1]], None, None, [0], {}], "its ids are not"),
        ([[[["a."], "", -1, 1]], None, None, [0], {}], "its ids are not"),
        ([[["a.", "", True, 1]], None, None, [0], {}], "its ids are not"),
        ([[["a.", "", 0, 0], RUN], None, None, [0], {}], "its ids are not"),
        ([[["a.", "", 0, -1], RUN, RUN], None, None, [0], {}], "its ids are not"),
        ([[["a.", "", -1, 2]], None, None, [0, 0], {}], "its ids are not"),
        ([[["a.", "", 10**18, 1]], None, None, [0], {}], "its ids are not"),
        ([[["a.7/1.", "", 3, 1]], None, None, [0], {}], "'a.7/1.3' does not count up there"),
        ([[["a.", "/1.7", 3, 1]], None, None, [0], {}], "'a.3/1.7' does not count up there"),
        ([[["a", "", 3, 1]], None, None, [0], {}], "'a3' does not count up there"),
        ([[["a.", "", 0, 10**15]], None, None, [0], {}], "1000000000000000 ids and 1 sizes"),
        ([[RUN], [{}], None, [0], {}], "its metas are not"),
        ([[RUN], [b"", b""], None, [0], {}], "1 sizes and 2 metas"),
        ([[RUN], None, [1], [0], {}], "its trackings are not"),
        ([[RUN], None, None, [-1], {}], "a size below 0"),
        ([[RUN], None, None, [True], {}], "its sizes are not"),
        ([[RUN], None, None, [], {}], "1 ids and 0 sizes"),
        ([[RUN], None, None, [1], {}], "announces 1 bytes of data and has 0"),
        ([[RUN], None, None, [0], []], "is not a map"),
        ([[RUN], None, None, [0]], "not a batch"),
    ],
)
def test_a_head_that_does_not_hold_is_named(head, words):
    encoded = msgpack.packb(head)
    with pytest.raises(WireError, match=words):
        wire.decode(len(encoded).to_bytes(4, "little") + encoded)


@pytest.mark.parametrize("meta", [b"", b"\xc1", b"\x01", b"\xc0", b"\x81\x90\x01", b"\x80\x80", b"\x81\xa1a"])
def test_a_meta_that_does_not_hold_is_an_error_where_it_is_looked_at(meta):
    good, bad = packed(BytesMessage(data=b"1"), "a.0"), packed(BytesMessage(data=b"2"), "a.1")
    tracking = b"\x01" if meta == b"\xc0" else meta
    for spoilt in ((*bad[:2], meta, *bad[3:]), (*bad[:3], tracking, *bad[4:])):
        first, second = wire.decode(wire.encode([good, spoilt])).messages
        assert first.meta == {}
        assert second.data == b"2"
        with pytest.raises(WireError, match="meta or tracking"):
            _ = second.header


def test_an_unknown_format_is_named():
    for format in (None, "", "1 msgpack", "2 json"):
        with pytest.raises(WireError, match="unknown wire format"):
            wire.check_format(format)


def test_small_data_comes_as_bytes_and_large_data_as_a_view():
    batch = [packed(BytesMessage(data=bytes(size)), "s.0") for size in (VIEW_FROM - 1, VIEW_FROM)]
    found = wire.decode(wire.encode(batch)).messages
    assert [type(m.data) for m in found] == [bytes, memoryview]
    assert found[1].data.readonly


def test_data_is_shared_only_if_nobody_can_change_it():
    frozen = b"x" * 100
    assert packed(BytesMessage(data=frozen), "s.0")[4] is frozen
    view = memoryview(frozen)[10:20]
    assert packed(BytesMessage(data=view), "s.0")[4].obj is frozen

    changing = bytearray(b"x" * 100)
    array = np.zeros((3, 4), np.float64)
    locked = array[:]
    locked.flags.writeable = False
    for data in (changing, memoryview(changing).toreadonly(), array, locked, BytesMessage.from_array(locked).data):
        sent = packed(BytesMessage(data=data), "s.0")[4]
        before = bytes(sent)
        changing[:] = b"y" * 100
        array += 1
        assert bytes(sent) == before
        assert len(sent) == len(before)


def test_an_array_that_came_in_is_passed_on_without_a_copy():
    payload = wire.encode([packed(BytesMessage.from_array(np.arange(100_000)), "s.0")])
    [message] = wire.decode(payload).messages
    passed = packed(BytesMessage.from_array(message.array), "s.1")
    assert np.shares_memory(np.frombuffer(passed[4], np.uint8), np.frombuffer(payload, np.uint8))


@pytest.mark.parametrize("data", [np.zeros((4, 6))[:, ::2], np.zeros((0, 3)), memoryview(np.arange(6).reshape(2, 3))])
def test_any_buffer_is_sent_byte_by_byte(data):
    sent = packed(BytesMessage(data=data), "s.0")[4]
    assert bytes(sent) == memoryview(data).tobytes()
    assert len(sent) == len(bytes(sent))


@given(messages, texts)
def test_a_message_weighs_at_least_what_it_adds(message, message_id):
    one = packed(message, message_id)
    assert len(wire.encode([one] * 10)) - len(wire.encode([])) <= 10 * one[wire.WEIGHT] + 20


@given(st.lists(texts, min_size=1, max_size=5), st.lists(texts, min_size=1, max_size=5))
def test_a_batch_is_known_by_its_members(first, second):
    def name(ids: list[str]) -> str:
        return wire.encode_named([packed(BytesMessage(data=str(n).encode()), i) for n, i in enumerate(ids)])[1]

    assert (name(first) == name(second)) == (first == second)


def came_in(message: BytesMessage) -> BytesMessage:
    [arrived] = wire.decode(wire.encode([packed(message, "s.0")]), "in").messages
    return arrived


@given(messages)
def test_what_is_passed_on_as_it_came_is_what_it_was(message):
    untouched, seen = came_in(message), came_in(message)
    assert seen.header == came_in(message).header
    for arrived in (untouched, seen):
        assert wire.encode([packed(arrived, "s.0")]) == wire.encode([packed(message, "s.0")])


def test_what_a_kernel_changes_is_what_is_sent():
    arrived = came_in(BytesMessage(MessageHeader(meta={"a": 1}, tracking={"t": 1}), b"x"))
    arrived.meta["a"] = 2
    again = came_in(arrived)
    assert (again.meta, again.header.tracking, again.data) == ({"a": 2}, {"t": 1}, b"x")
    again.header = MessageHeader(meta=b"new")
    again.data = b"y"
    last = came_in(again)
    assert (last.header.meta, last.header.tracking, last.data) == (b"new", None, b"y")


def test_what_is_made_from_a_message_has_its_tracking_unless_it_has_its_own():
    tracked, other = came_in(BytesMessage(MessageHeader(tracking={"t": 1}))), came_in(BytesMessage())

    def tracking_of(message: BytesMessage, given: BytesMessage) -> object:
        [made] = wire.decode(wire.encode([wire.pack(message, *file("s.0"), given)])).messages
        return made.header.tracking

    assert tracking_of(BytesMessage(), tracked) == {"t": 1}
    assert tracking_of(BytesMessage(MessageHeader(tracking={"own": 1})), tracked) == {"own": 1}
    assert tracking_of(BytesMessage(MessageHeader(tracking={})), tracked) is None
    assert tracking_of(other, tracked) == {"t": 1}
    assert tracking_of(other, other) is None
    tracked.header.tracking["more"] = 2
    assert tracking_of(BytesMessage(), tracked) == {"t": 1, "more": 2}
    tracked.header.tracking = None
    assert tracking_of(BytesMessage(), tracked) is None


def test_a_copy_of_a_message_stands_for_itself():
    arrived = came_in(BytesMessage(MessageHeader(meta={"a": [1]}), b"x"))
    for made in (copy.copy(arrived), copy.deepcopy(arrived), pickle.loads(pickle.dumps(arrived)), arrived.to("out")):
        assert made == arrived
    assert copy.copy(arrived).id == "s.0"
    assert arrived.to("out").target == "out"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("meta", "found"),
    [
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({"a": np.float64(0.5), "b": np.arange(2)}, {"a": 0.5, "b": [0, 1]}),
        ({"a": Number.ONE}, {"a": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        ({1: {b"k": None, 2.5: True}}, {1: {b"k": None, 2.5: True}}),
    ],
)
def test_metas_travel_as_plain_values(meta, found):
    assert came_in(BytesMessage(MessageHeader(meta=meta))).meta == found


def nested(depth: int) -> dict:
    value: dict = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "meta", [{(1, 2): 3}, {"a": {("x",): 1}}, {"a": 2**70}, {"a": "\ud800"}, {"a": object()}, nested(5000), [1], "x"]
)
def test_what_could_not_be_read_again_is_refused_where_it_is_sent(meta):
    with pytest.raises(WireError):
        packed(BytesMessage(MessageHeader(meta=meta)), "s.0")
    assert came_in(BytesMessage(MessageHeader(meta={"a": 1}))).meta == {"a": 1}


@given(st.integers(1, 1100))
def test_what_can_be_packed_can_be_read(depth):
    try:
        one = packed(BytesMessage(MessageHeader(meta=nested(depth))), "s.0")
    except WireError:
        return
    [found] = wire.decode(wire.encode([one])).messages
    assert type(found.meta) is dict


TAGGED = (
    bytes.fromhex("2a000000")  # 42 bytes of head
    + b"\x95"
    + b"\x91\x94\xa2s.\xa0\x00\x03"
    + b"\xc0\xc0"
    + b"\x93\x01\x00\x01"
    + b"\x82\xa8redriven\x01\xa4tags\x93\x92\xa1a\xa2bc\x90\x91\xa1a"
    + b"xy"
)


def test_golden_bytes_of_tags():
    tagged = [BytesMessage(data=b"x", tags=["a", "bc"]), BytesMessage(), BytesMessage(data=b"y", tags={"a"})]
    assert wire.encode([packed(each, f"s.{n}") for n, each in enumerate(tagged)], {"redriven": 1}) == TAGGED
    decoded = wire.decode(TAGGED)
    assert [message.tags for message in decoded.messages] == [("a", "bc"), (), ("a",)]
    assert decoded.about == {"redriven": 1}


@pytest.mark.parametrize("tags", [1, {}, [], [[], []], [1], [[1]], [[""]], [[["a"]]], [[b"a"]], [None], ["a"]])
def test_tags_that_are_none(tags):
    payload = wire.encode([packed(BytesMessage(), "s.0")], {"tags": tags})
    with pytest.raises(WireError, match="tags"):
        wire.decode(payload)


@pytest.mark.parametrize("tags", ["even", [1], [""], [["a"]], {"a": 1}, 3, [b"a"]])
def test_tags_that_nobody_can_have(tags):
    with pytest.raises(TagsError, match="tags are a list of texts"):
        BytesMessage(tags=tags)
    with pytest.raises(TagsError, match="tags are a list of texts"):
        BytesMessage().to("out", tags=tags)
    later = BytesMessage()
    later.tags = tags
    with pytest.raises(TagsError):
        packed(later, "s.0")


def test_text_that_cannot_be_sent_is_no_tag():
    with pytest.raises(WireError, match="tags cannot be sent"):
        packed(BytesMessage(tags=["\ud800"]), "s.0")


def test_tags_weigh_what_they_add():
    plain, tagged = packed(BytesMessage(), "s.0"), packed(BytesMessage(tags=["x" * 300, "y"]), "s.0")
    added = len(wire.encode([tagged] * 10)) - len(wire.encode([plain] * 10))
    assert added <= 10 * (tagged[wire.WEIGHT] - plain[wire.WEIGHT]) + 20


def test_many_combinations_of_tags_are_not_all_remembered(monkeypatch):
    monkeypatch.setattr(wire, "_REMEMBERED", 3)
    made = [BytesMessage(tags=[f"t{n}"]) for n in range(20)]
    decoded = wire.decode(wire.encode([packed(each, f"s.{n}") for n, each in enumerate(made)]))
    assert [message.tags for message in decoded.messages] == [(f"t{n}",) for n in range(20)]


def test_tags_stay_on_what_is_passed_on_copied_and_addressed():
    message = BytesMessage(data=b"x", tags=("a", "b"))
    assert pickle.loads(pickle.dumps(message)).tags == copy.deepcopy(message).tags == ("a", "b")
    assert message.to("out").tags == ("a", "b")
    assert message.to("out", tags=[]).tags == ()
    assert message.tags == ("a", "b")
    assert message != BytesMessage(data=b"x")


def test_scattered_ids_of_one_series_are_many_runs_that_are_read_as_such():
    numbers = [3, 5, 6, 9, 10**17]
    batch = [packed(BytesMessage(), f"s.{number}/2.0") for number in numbers]
    decoded = wire.decode(wire.encode(batch))
    assert [m.id for m in decoded.messages] == [f"s.{number}/2.0" for number in numbers]
    assert [(run.first, run.length) for run in decoded.runs] == [(3, 1), (5, 2), (9, 1), (10**17, 1)]


@pytest.mark.parametrize("second", [[2, 1], [10**18, 1], [7, 0], [7, -1], [True, 1], [7, 10**18], [7.0, 1], ["7", 1]])
def test_a_second_run_that_is_none(second):
    head = [[["s.", "/0.3", 5, 1], ["s.", "/0.3", *second]], None, None, [0, 0], {}]
    packed_head = msgpack.packb(head)
    with pytest.raises(WireError):
        wire.decode(len(packed_head).to_bytes(4, "little") + packed_head)

from __future__ import annotations

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.runtime import BytesMessage, MessageHeader, wire
from interactem.runtime.errors import WireError
from interactem.runtime.messages import VIEW_FROM

PLAIN = (
    bytes.fromhex(
        "0b000000"  # 11 bytes of head
        "95"  # an array of five
        "91a3732e30"  # one id: "s.0"
        "c0"  # no metas
        "c0"  # no trackings
        "9105"  # one size: 5
        "80"  # nothing known
    )
    + b"hello"
)
"""The golden bytes of version 1: a change of them is a new version."""

FULL = (
    bytes.fromhex("2e000000")  # 46 bytes of head
    + b"\x95"
    + b"\x92\xa3a.1\xa7a.1/2.0"
    + b"\x92\x81\xa1k\x01\xc4\x03raw"
    + b"\x92\xc0\x81\xa3way\x02"
    + b"\x92\x02\x00"
    + b"\x81\xa8redriven\x01"
    + b"ab"
)


def test_golden_bytes_of_an_ordinary_batch():
    assert wire.FORMAT == "1 msgpack"
    assert wire.encode([wire.pack(BytesMessage(data=b"hello"), "s.0")]) == PLAIN
    [message], about = wire.decode(PLAIN, "in")
    assert (message.id, message.port, message.data, message.meta, message.header.tracking, about) == (
        "s.0",
        "in",
        b"hello",
        {},
        None,
        {},
    )


def test_golden_bytes_of_a_batch_with_everything():
    first = BytesMessage(MessageHeader(meta={"k": 1}), b"ab")
    second = BytesMessage(MessageHeader(meta=b"raw", tracking={"way": 2}), b"")
    encoded = wire.encode([wire.pack(first, "a.1"), wire.pack(second, "a.1/2.0")], {"redriven": 1})
    assert encoded == FULL


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
    found, found_about = wire.decode(wire.encode([wire.pack(m, i) for i, m in batch], about))
    assert [m.id for m in found] == [i for i, _ in batch]
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
    [wire.pack(BytesMessage(MessageHeader(meta={"a": [1, {"b": b"c"}]}), b"data"), f"s.{n}/1.0") for n in range(3)],
    {"failure": {"attempts": 1, "error": "e", "traceback": "t"}},
)


@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(VALID)))
def test_mutated_bytes_raise_nothing_but_a_wire_error(changes, length):
    payload = bytearray(VALID)
    for at, value in changes:
        payload[at] = value
    for candidate in (bytes(payload), bytes(payload[:length])):
        try:
            found, about = wire.decode(candidate)
        except WireError:
            continue
        assert all(type(m.id) is str and type(m.header.meta) in (dict, bytes) for m in found)
        assert type(about) is dict


@given(values)
def test_heads_of_any_value_raise_nothing_but_a_wire_error(value):
    head = msgpack.packb(value)
    with pytest.raises(WireError):
        wire.decode(len(head).to_bytes(4, "little") + head)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ([[1], None, None, [0], {}], "its ids are not"),
        (["x", None, None, [0], {}], "its ids are not"),
        ([["a"], [1], None, [0], {}], "its metas are not"),
        ([["a"], [{}, {}], None, [0], {}], "1 ids and 2 metas"),
        ([["a"], None, [1], [0], {}], "its trackings are not"),
        ([["a"], None, None, [-1], {}], "a size below 0"),
        ([["a"], None, None, [True], {}], "its sizes are not"),
        ([["a"], None, None, [], {}], "1 ids and 0 sizes"),
        ([["a"], None, None, [1], {}], "announces 1 bytes of data and has 0"),
        ([["a"], None, None, [0], []], "is not a map"),
        ([["a"], None, None, [0]], "not a batch"),
    ],
)
def test_a_head_that_does_not_hold_is_named(head, words):
    packed = msgpack.packb(head)
    with pytest.raises(WireError, match=words):
        wire.decode(len(packed).to_bytes(4, "little") + packed)


def test_an_unknown_format_is_named():
    for format in (None, "", "2 msgpack", "1 json"):
        with pytest.raises(WireError, match="unknown wire format"):
            wire.check_format(format)


def test_small_data_comes_as_bytes_and_large_data_as_a_view():
    batch = [wire.pack(BytesMessage(data=bytes(size)), "s.0") for size in (VIEW_FROM - 1, VIEW_FROM)]
    found, _ = wire.decode(wire.encode(batch))
    assert [type(m.data) for m in found] == [bytes, memoryview]
    assert found[1].data.readonly


def test_data_is_shared_only_if_nobody_can_change_it():
    frozen = b"x" * 100
    assert wire.pack(BytesMessage(data=frozen), "s.0").data is frozen
    view = memoryview(frozen)[10:20]
    assert wire.pack(BytesMessage(data=view), "s.0").data.obj is frozen

    changing = bytearray(b"x" * 100)
    array = np.zeros((3, 4), np.float64)
    locked = array[:]
    locked.flags.writeable = False
    for data in (changing, memoryview(changing).toreadonly(), array, locked, BytesMessage.from_array(locked).data):
        packed = wire.pack(BytesMessage(data=data), "s.0")
        before = bytes(packed.data)
        changing[:] = b"y" * 100
        array += 1
        assert bytes(packed.data) == before
        assert packed.size == len(before)


def test_an_array_that_came_in_is_passed_on_without_a_copy():
    payload = wire.encode([wire.pack(BytesMessage.from_array(np.arange(100_000)), "s.0")])
    [message], _ = wire.decode(payload)
    passed = wire.pack(BytesMessage.from_array(message.array), "s.1")
    assert np.shares_memory(np.frombuffer(passed.data, np.uint8), np.frombuffer(payload, np.uint8))


@pytest.mark.parametrize("data", [np.zeros((4, 6))[:, ::2], np.zeros((0, 3)), memoryview(np.arange(6).reshape(2, 3))])
def test_any_buffer_is_sent_byte_by_byte(data):
    packed = wire.pack(BytesMessage(data=data), "s.0")
    assert bytes(packed.data) == memoryview(data).tobytes()
    assert packed.size == len(bytes(packed.data))


@given(messages, texts)
def test_a_message_weighs_at_least_what_it_adds(message, message_id):
    packed = wire.pack(message, message_id)
    assert len(wire.encode([packed] * 10)) - len(wire.encode([])) <= 10 * packed.weight + 20


@given(st.lists(texts, min_size=1, max_size=5), st.lists(texts, min_size=1, max_size=5))
def test_a_batch_is_known_by_its_members(first, second):
    assert (wire.batch_id(first) == wire.batch_id(second)) == ("\n".join(first) == "\n".join(second))

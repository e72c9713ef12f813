"""Whatever comes from outside: a value or a documented error, in bounded time and memory. `make fuzz` goes deeper."""

from __future__ import annotations

import importlib.util
import json
import sys
import tracemalloc
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interactem.runtime import checkpoint
from interactem.runtime.demand import kernel_and_waiting
from interactem.runtime.errors import WireError


def load_targets():
    spec = importlib.util.spec_from_file_location("fuzz_targets", Path(__file__).with_name("targets.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_targets"] = module
    spec.loader.exec_module(module)
    return module.TARGETS


TARGETS = load_targets()
every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
bounded = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
MEBIBYTE = 2**20
NESTED = json.loads("[" * 400 + "]" * 400)
HOSTILE = (
    None,
    True,
    -1,
    1,
    2**64 - 1,
    -(2**63),
    float("nan"),
    float("inf"),
    "",
    "\0",
    "9" * 5000,
    "../../x",
    [],
    {},
    [1, "x", None],
    {"a": {}},
    NESTED,
)


@st.composite
def mutated(draw, seeds):
    """A good input with a few bytes changed, removed, repeated or put in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        stop = min(len(data), at + draw(st.integers(0, 8)))
        piece = data[at:stop] * 2 if draw(st.booleans()) else draw(st.binary(max_size=8))
        data[at:stop] = piece
    return bytes(data)


@every_target
def test_a_good_input_is_taken(target):
    for seed in target.seeds:
        target.run(seed)


@every_target
@bounded
@given(data=st.data())
def test_any_bytes(target, data):
    target.run(data.draw(st.binary(max_size=300)))


@every_target
@bounded
@given(data=st.data())
def test_a_good_input_with_a_few_bytes_changed(target, data):
    target.run(data.draw(mutated(target.seeds)))


@pytest.mark.parametrize(
    "target", [target for target in TARGETS.values() if target.value is not None], ids=lambda target: target.name
)
def test_every_field_of_a_wrong_kind(target):
    """Each value in a good input, at whatever depth, is replaced by others, or left out."""
    for changed in replaced(target.value):
        target.run(msgpack.packb(changed))


def replaced(value):
    for other in HOSTILE:
        yield other
    if isinstance(value, dict):
        for key, member in value.items():
            yield {name: kept for name, kept in value.items() if name != key}
            yield {**value, f"{key}x": member}
            for other in replaced(member):
                yield {**value, key: other}
    elif isinstance(value, list):
        for index, member in enumerate(value):
            for other in replaced(member):
                yield [*value[:index], other, *value[index + 1 :]]
        yield value * 3


@pytest.mark.parametrize(
    "dtype", [",8", "({", "9" * 5000, "O", ["x"], {"a": 1}], ids=["comma", "open", "digits", "objects", "list", "map"]
)
def test_an_array_of_no_kind_in_a_checkpoint(dtype):
    """numpy evaluates some texts that it is given as dtypes."""
    state = msgpack.packb({"a": msgpack.ExtType(1, msgpack.packb([dtype, [3], bytes(24)]))})
    packed = [1, state, [{}, []], 0, 0, [], 0, False, False, False]
    with pytest.raises(WireError):
        checkpoint.decode(msgpack.packb(packed))


@pytest.mark.parametrize("kernel", [1e-314, -1.0, float("nan"), float("inf"), 1e-300])
def test_a_reader_that_says_nonsense_of_its_speed_is_not_heard(kernel):
    assert kernel_and_waiting(msgpack.packb({"kernel": kernel, "waiting": 2})) is None
    assert kernel_and_waiting(msgpack.packb({"kernel": 0.001, "waiting": 2})) == (0.001, 2.0)


BOMBS = {
    "a list of 4 thousand million": b"\xdd\xff\xff\xff\xff",
    "a map of 4 thousand million": b"\xdf\xff\xff\xff\xff",
    "bytes of 4 GB": b"\xc6\xff\xff\xff\xff",
    "text of 4 GB": b"\xdb\xff\xff\xff\xff",
    "an extension of 4 GB": b"\xc9\xff\xff\xff\xff\x01",
    "lists in lists": (b"\xdd\x00\x00\x1f\xf0" * 600).ljust(8_192, b"\0"),
    "maps in maps": b"\x81\xa1a" * 2_000,
    "one-element lists, deep": b"\x91" * 4_000,
    "JSON lists, deep": b"[" * 4_000,
    "JSON objects, deep": b'{"a":' * 4_000,
    "a number of many digits": b"9" * 4_000,
    "a JSON number of many digits": b'{"a": ' + b"9" * 4_000 + b"}",
    "a head of 4 GB": b"\xff\xff\xff\xff" + b"\x95" * 4_000,
    "backslashes": b"\\" * 4_000,
    "quotes": b'A="' * 4_000,
    "dots": b"1.1/" * 1_000,
    "variables": b"${" * 3_000,
    "stars": b"**/" * 8 + b"x\n",
}


@every_target
def test_bombs_take_little_memory(target):
    tracemalloc.start()
    try:
        for name, bomb in BOMBS.items():
            tracemalloc.reset_peak()
            target.run(bomb[: target.most])
            _, most = tracemalloc.get_traced_memory()
            assert most < 64 * MEBIBYTE, name
    finally:
        tracemalloc.stop()

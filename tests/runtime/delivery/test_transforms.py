"""Source transforms: event times and keys are assigned, and messages left out, before anything is sent."""

from __future__ import annotations

import itertools

import pytest
from delivery_harness import Collected, crash_at, message, sink, source
from pydantic import BaseModel

from interactem.runtime import EndOfStream, Source, operator
from interactem.runtime.errors import KernelError


def stamped(given, parameters, context):
    number = int(given.data)
    if number % 3 == 0:
        return None
    given.meta.update(time=number / 10, key=number % 2, by=context.operator)
    return given


class Settings(BaseModel):
    least: int


class Numbers(Source):
    def __init__(self, most=10):
        self.most = most

    def read(self, position, most):
        begin = position or 0
        if begin == self.most:
            raise EndOfStream
        return [(message(str(number).encode()), number + 1) for number in range(begin, min(self.most, begin + most))]

    def transform(self, given, parameters, context):
        return stamped(given, parameters, context) if int(given.data) < self.most else None


def counting(reading):
    """Ten numbers: a generator, or what reads from positions."""
    if isinstance(reading, Numbers) or reading is Numbers:
        return operator.source(reading)
    if not reading:

        @operator.source(transform=stamped)
        def count(inputs, parameters, context):
            for number in range(context.position, 10):
                yield message(str(number).encode())

        return count

    @operator.source(transform=stamped)
    def read(position, most):
        begin = position or 0
        if begin == 10:
            raise EndOfStream
        return [(message(str(number).encode()), number + 1) for number in range(begin, min(10, begin + most))]

    return read


@pytest.mark.parametrize(
    "reading", [False, True, Numbers, Numbers(10)], ids=["generator", "reading", "class", "instance"]
)
def test_ids_and_positions_count_what_is_left_out(flow, reading):
    for step in itertools.chain([-1], range(0, 100, 2)):
        out = Collected()
        made = flow({"s": source(counting(reading)), "k": sink(out)}, ["s > k"])
        prepare, crashed = crash_at(step, before=True)
        made.start("s", prepare=prepare)
        made.start_all(but=("s",))
        made.finish()
        assert sorted(out.ints) == [1, 2, 4, 5, 7, 8], step
        assert sorted(out.ids) == [f"s.{number}" for number in (1, 2, 4, 5, 7, 8)]
        assert [m.meta for m in out.messages if m.data == b"5"] == [{"time": 0.5, "key": 1, "by": "s"}]
        made.close()
        if step >= 0 and not crashed.is_set():
            break


def test_a_function_that_is_called_again_goes_on_behind_what_is_left_out(flow):
    @operator.source(transform=stamped)
    def count(inputs, parameters, context):
        if context.position < 8:
            return message(str(context.position).encode())
        ended.set()
        return None

    import threading

    ended = threading.Event()
    out = Collected()
    made = flow({"s": source(count), "k": sink(out)}, ["s > k"])
    made.start_all()
    assert ended.wait(60)
    made.backend.tell(made.names.control(0, "drain"), b"{}")
    made.finish()
    assert sorted(out.ints) == [1, 2, 4, 5, 7]


def test_a_transform_has_its_parameters_as_a_class_too(flow):
    def above(given, parameters: Settings):
        return given if int(given.data) >= parameters.least else None

    @operator.source(transform=above)
    def count(inputs):
        for number in range(6):
            yield message(str(number).encode())

    out = Collected()
    flow({"s": source(count, parameters={"least": "4"}), "k": sink(out)}, ["s > k"]).run()
    assert sorted(out.ints) == [4, 5]


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (lambda: None, "takes a message"),
        ("text", "takes a function"),
        ((yield_ for yield_ in ()), "takes a function"),
        (lambda given, other: given, "unknown argument 'other'"),
    ],
)
def test_what_is_no_transform(transform, words):
    with pytest.raises(KernelError, match=words):

        @operator.source(transform=transform)
        def count(inputs):
            yield message()


def test_a_class_with_a_transform_is_not_given_another():
    with pytest.raises(KernelError, match="a class has a method transform"):
        operator.source(transform=stamped)(Numbers)

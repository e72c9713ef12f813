"""The examples of docs/kernels.md are operators, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from interactem.runtime import BytesMessage, MessageHeader
from interactem.runtime.kinds.sinks import FailedMessageError
from interactem.runtime.loading import load
from interactem.runtime.testing import call, update

PAGE = Path(__file__).parents[2] / "docs" / "kernels.md"


@pytest.fixture
def kernel(tmp_path):
    """The example in which a function of this name stands, by the path of its run.py."""

    def find(name):
        (code,) = (block for block in blocks() if re.search(rf"def {name}\(", block))
        path = tmp_path / name / "run.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        return path

    return find


def blocks():
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)


def test_every_example_is_an_operator(tmp_path):
    assert len(blocks()) >= 7
    for number, code in enumerate(blocks()):
        path = tmp_path / str(number) / "run.py"
        path.parent.mkdir()
        path.write_text(code)
        load(path)


def test_double(kernel):
    (answer,) = call(kernel("double"), BytesMessage.from_array(np.arange(3)))
    assert answer.array.tolist() == [0, 2, 4]


def test_watch(kernel):
    given = [BytesMessage(MessageHeader(meta={"sensor": s, "time": 1, "value": 2})) for s in "aba"]
    answers = call(kernel("watch"), given)
    assert [bytes(answer.data) for answer in answers] == [
        b"1 of 1 sensors, 2",
        b"1 of 2 sensors, 4",
        b"2 of 2 sensors, 6",
    ]


def test_ask(kernel):
    answers = call(kernel("ask"), BytesMessage(), {"wait": 0})
    assert [answer.data for answer in answers] == [b"first", b"second"]


def test_sort(kernel):
    dark, bright = (BytesMessage.from_array(np.full(4, value)) for value in (0, 9))
    path = kernel("sort")
    assert [call(path, message, {"level": 5})[0].target for message in (dark, bright)] == ["dark", "bright"]


def test_count(kernel):
    answers = call(kernel("count"), parameters={"count": 3})
    assert [answer.data for answer in answers] == [b"0", b"1", b"2"]


def test_letters(kernel):
    answers = call(kernel("read"))
    assert [answer.data for answer in answers] == [b"alpha", b"beta"]
    assert call(kernel("read"), position="b") == []


def test_archive(kernel, tmp_path):
    good, bad = BytesMessage(data=b'{"name": "one"}'), BytesMessage(data=b"?")
    [answer] = call(kernel("write"), [good, bad], outputs=tmp_path)
    assert (answer.target, answer.data) == ("unreadable", b"?")
    assert (tmp_path / "one.json").read_bytes() == good.data
    with pytest.raises(FailedMessageError, match="the archive is not there yet"):
        call(kernel("write"), BytesMessage(data=b'{"name": "one", "later": 1}'))


def test_gains_and_what_they_amplify(kernel, tmp_path):
    (tmp_path / "gains.csv").write_text("detector,gain\na,2.5\n")
    gains = update(kernel("gains"), file=tmp_path / "gains.csv")
    assert gains == {"a": 2.5}
    given = BytesMessage.from_array(np.arange(2.0), detector="a")
    [answer] = call(kernel("amplify"), given, side_inputs={"gains": gains})
    assert answer.array.tolist() == [0, 2.5]


def test_add_and_its_mean(kernel):
    path = kernel("add")
    state: dict = {}
    for value in (1, 2):
        assert call(path, BytesMessage.from_array(np.full(2, float(value))), state=state) == []
    (answer,) = call(path, state=state, finish=True)
    assert answer.array.tolist() == [1.5, 1.5]
    assert answer.meta["revision"] == 2


def test_lines(kernel, tmp_path):
    file = tmp_path / "text"
    file.write_text("a\nb\n")
    answers = call(kernel("lines"), mounts={"file": file})
    assert [answer.data for answer in answers] == [b"a", b"b"]


def test_shout(kernel):
    (answer,) = call(kernel("shout"), BytesMessage(data=b"hey"))
    assert answer.data == b"HEY"


def test_scale_finds_what_was_set_up(kernel):
    (answer,) = call(kernel("scale"), BytesMessage.from_array(np.array([2.0, 4.0])))
    assert answer.array.tolist() == [5.0, 10.0]

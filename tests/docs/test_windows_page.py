"""The examples of docs/windows.md are operators, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interactem.runtime import BytesMessage, MessageHeader
from interactem.runtime.loading import load
from interactem.runtime.testing import Operator, call

PAGE = Path(__file__).parents[2] / "docs" / "windows.md"


@pytest.fixture
def kernel(tmp_path):
    """The example with these words, by the path of its run.py."""

    def find(words):
        (code,) = (block for block in blocks() if words in block)
        path = tmp_path / words.split("(")[0].split()[-1] / "run.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        return path

    return find


def blocks():
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)


def message(data=b"", **meta):
    return BytesMessage(MessageHeader(meta=meta), data)


def test_every_example_is_an_operator(tmp_path):
    assert len(blocks()) == 5
    for number, code in enumerate(blocks()):
        path = tmp_path / str(number) / "run.py"
        path.parent.mkdir()
        path.write_text(code)
        load(path)


def test_requests(kernel):
    given = [message(time=t, host=h, bytes=b) for t, h, b in [(61, "a", 3), (119, "a", 4), (62, "b", 5), (126, "a", 6)]]
    found = call(kernel("def requests("), given, finish=True)
    assert [(one.meta["host"], one.meta["minute"], one.meta["requests"], bytes(one.data)) for one in found] == [
        ("a", 60, 2, b"7"),
        ("b", 60, 1, b"5"),
        ("a", 120, 1, b"6"),
    ]


def test_clicks(kernel):
    found = call(kernel("def clicks("), [message(time=n, user="a") for n in range(150)], finish=True)
    assert [(bytes(one.data), one.meta) for one in found] == [
        (b"a: 100", {"revision": 1, "final": False}),
        (b"a: 150", {"revision": 2, "final": True}),
    ]
    late = call(kernel("def clicks("), [message(time=n, user="a") for n in (100, 0)])
    assert [one.target for one in late] == ["late"]


def test_mean(kernel):
    found = call(kernel("class Mean("), [message(b"1", time=1), message(b"2", time=7)], finish=True)
    assert [bytes(one.data) for one in found] == [b"5: 1.00", b"10: 1.50", b"15: 2.00"]


def test_log(kernel, tmp_path):
    file = tmp_path / "file.log"
    file.write_text("1970-01-01T00:00:07 h1 GET /\n1970-01-01T00:00:08 h1 DEBUG\n1970-01-01T00:01:00 h2 GET /b\n")
    found = call(kernel("def stamped("), parameters={"without": "DEBUG"}, mounts={"file": file})
    assert [(one.meta["time"], one.meta["host"]) for one in found] == [(7.0, "h1"), (60.0, "h2")]


def test_count(kernel):
    path = kernel("def test_count(")
    load(path)
    import sys

    sys.modules["run"].test_count()
    with Operator(path) as started:
        assert started.tick() == []

"""The examples of docs/lifecycle.md are operators, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from interactem.runtime import BytesMessage
from interactem.runtime.errors import ParametersError
from interactem.runtime.testing import Operator, call

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"


@pytest.fixture
def example(tmp_path):
    """The example with this name in it, by the path of its run.py."""

    def find(name):
        blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
        (code,) = (block for block in blocks if name in block)
        path = tmp_path / name.split()[-1] / "run.py"
        path.parent.mkdir()
        path.write_text(code)
        return path

    return find


def test_count(example):
    with Operator(example("class Count"), init_data={"words": ["a", "b"]}) as started:
        made = [started.handle(BytesMessage(data=data))[0].data for data in (b"a or b", b"a")]
    assert made == [b"2", b"3"]


def test_scale(example):
    (answer,) = call(example("class Scale"), BytesMessage.from_array(np.arange(3)))
    assert answer.array.tolist() == [0, 2, 4]


def test_render(example, capfd):
    message = BytesMessage()
    message.header.meta = {"frame": 4}
    with pytest.raises(SystemExit) as raised, Operator(example("class Render"), init_data={"scene": "hall"}) as started:
        started.handle(message)
    assert raised.value.code == 0
    assert sorted(capfd.readouterr().out.split("\n")) == ["", "closed", "frame 4", "opening hall"]


def test_threshold(example):
    path = example("class Settings")
    (answer,) = call(path, BytesMessage.from_array(np.array([1, 2, 3, 4])))
    assert answer.array.tolist() == [False, False, True, True]
    with pytest.raises(ParametersError, match="level"):
        call(path, BytesMessage.from_array(np.array([1])), {"level": 2})

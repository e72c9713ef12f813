"""The examples of docs/operators.md are operators, and do what the page says; its tables are true."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from interactem.runtime import BytesMessage
from interactem.runtime.kinds.modes import MODES, refusal
from interactem.runtime.loading import load
from interactem.runtime.testing import call

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def blocks():
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)


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


def test_every_example_is_an_operator(tmp_path):
    for number, code in enumerate(blocks()):
        path = tmp_path / str(number) / "run.py"
        path.parent.mkdir()
        path.write_text(code)
        load(path)


def test_the_table_of_modes_says_what_is_refused():
    table = re.search(r"^\| kind \|( `threads`.*?)\|\n\|[-|]+\n(.*?)\n\n", PAGE.read_text(), re.M | re.S)
    header, rows = table.groups()
    assert tuple(re.findall(r"`(\w+)`", header)) == MODES
    for row in rows.splitlines():
        kind, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        assert cells == ["no" if refusal(kind, mode) else "yes" for mode in MODES], kind


def test_wait_and_tell(kernel):
    assert [m.data for m in call(kernel("wait_and_tell"), BytesMessage(data=b"a"))] == [b"A"]


def test_squeeze(kernel):
    [made] = call(kernel("squeeze"), BytesMessage(data=b"a" * 100))
    assert zlib.decompress(made.data) == b"a" * 100


def test_infer(kernel):
    [made] = call(kernel("infer"), BytesMessage.from_array(np.array([2.0, 4.0, 8.0])))
    assert made.array.tolist() == [4.0]


def test_parse(kernel):
    path = kernel("parse")
    assert [m.data for m in call(path, BytesMessage(data=b'{"a": 5}'), {"column": "a"})] == [b"5"]
    with pytest.raises(ValueError, match="Expecting value"):
        call(path, BytesMessage(data=b"?"), {"column": "a"})


def test_pack(kernel):
    [made] = call(kernel("pack"), BytesMessage(data=b"a" * 100))
    assert gzip.decompress(made.data) == b"a" * 100

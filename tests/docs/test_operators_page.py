"""The examples of docs/operators.md are the files that they say, and do what the page says; its tables are true."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from interactem.runtime import BytesMessage
from interactem.runtime.kinds.modes import MODES, refusal
from interactem.runtime.loading import load
from interactem.runtime.testing import call

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "operators.md").read_text()


def test_every_example_of_a_kind_is_the_file_that_it_names():
    shown = re.findall(r"^```\w+ (examples/\S+)\n(.*?)^```", PAGE, re.M | re.S)
    assert len(shown) >= 14
    for path, code in shown:
        assert (DOCS / path).read_text() == code, f"docs/operators.md differs from docs/{path}"
    operators = {path.split("/")[2] for path, _ in shown}
    assert operators == {path.name for path in (DOCS / "examples" / "operators").iterdir()}


def test_every_kind_of_the_table_has_an_example():
    kinds = re.findall(r"^\| \[([a-z ]+)\]\(#([a-z-]+)\) \| `@", PAGE, re.M)
    assert [anchor.replace("-", " ") for _, anchor in kinds] == [kind for kind, _ in kinds]
    sections = dict(re.findall(r"^#{2,3} (\w[\w ]*)\n(.*?)(?=^#{2,3} |\Z)", PAGE, re.M | re.S))
    for kind in [*(kind.capitalize() for kind, _ in kinds), "Classes", "Commands"]:
        assert "examples/operators/" in sections[kind], kind


@pytest.fixture
def kernel(tmp_path):
    """The example of a mode in which a function of this name stands, by the path of its run.py."""

    def find(name):
        (code,) = (
            block for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if f"def {name}(" in block
        )
        path = tmp_path / name / "run.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        load(path)
        return path

    return find


def test_the_table_of_modes_says_what_is_refused():
    table = re.search(r"^\| kind \|( `threads`.*?)\|\n\|[-|]+\n(.*?)\n\n", PAGE, re.M | re.S)
    header, rows = table.groups()
    assert tuple(re.findall(r"`(\w+)`", header)) == MODES
    for row in rows.splitlines():
        kind, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        kind = kind.partition(",")[0]
        assert cells == ["no" if refusal(kind, mode) else "yes" for mode in MODES], kind


def test_wait_and_tell(kernel):
    assert [m.data for m in call(kernel("wait_and_tell"), BytesMessage(data=b"a"))] == [b"A"]


def test_squeeze(kernel):
    [made] = call(kernel("squeeze"), BytesMessage(data=b"a" * 100))
    assert zlib.decompress(made.data) == b"a" * 100

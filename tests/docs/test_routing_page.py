"""The examples of docs/routing.md: operators that do what the page says, and edges that are read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from interactem.runtime import BytesMessage, MessageHeader
from interactem.runtime.loading import load
from interactem.runtime.routing import holds
from interactem.runtime.testing import call
from interactem.spec import parse_pipeline

PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()


@pytest.fixture
def kernel(tmp_path):
    """The example in which a function of this name stands."""

    def find(name):
        (code,) = (b for b in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if f"def {name}(" in b)
        path = tmp_path / "run.py"
        path.write_text(code)
        load(path)
        return path

    return find


def edges():
    for text in re.findall(r"^```json edges\n(.*?)^```", PAGE, re.M | re.S):
        value = {"name": "x", "operators": {"x": {"operator": "x"}}, "edges": json.loads(text)}
        yield from parse_pipeline(value, "docs").edges


@pytest.mark.parametrize(
    ("number", "expected"), [(4, {"evens", "all"}), (3, {"rest", "all"}), (104, {"evens", "all"}), (103, {"all"})]
)
def test_who_takes_a_number(kernel, number, expected):
    [sorted_] = call(kernel("sort"), BytesMessage(data=str(number).encode()))
    taking = [e for e in edges() if e.source.operator == "sort" and holds(e.when.rules if e.when else (), sorted_.tags)]
    assert {edge.target.operator for edge in taking} == expected


def test_totals(kernel):
    [made] = call(kernel("totals"), BytesMessage(MessageHeader(meta={"region": "north", "price": 3})))
    assert made.meta == {"region": "north", "total": 3}
    assert [(edge.key, edge.ordered) for edge in edges() if edge.key] == [("meta.region", False), ("meta.region", True)]

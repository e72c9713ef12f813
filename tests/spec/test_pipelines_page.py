"""The examples of docs/pipelines.md, as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from interactem.spec import parse_operator, parse_pipeline, schema

PAGE = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_operator_loads():
    (text,) = blocks("json operator")
    assert parse_operator(text, "docs").timeout == 30


def test_the_pipeline_loads():
    (text,) = blocks("json pipeline")
    assert list(parse_pipeline(text, "docs").operators) == ["frames", "partial", "reduce"]


def test_the_edge_loads():
    (text,) = (block for block in blocks("json") if '"from"' in block)
    value = {"name": "x", "operators": {"x": {"operator": "x"}}, "edges": [json.loads(text)]}
    assert parse_pipeline(value, "docs").edges[0].route == "when tags any of sale, key meta.region"


def test_the_python_prints_what_it_says(capsys):
    (code,) = blocks("python")
    exec(compile(code, "docs/pipelines.md", "exec"), {})
    printed = capsys.readouterr().out.strip()
    assert printed
    assert code.rpartition("print(error)  # ")[2].strip() == printed


def test_every_key_is_on_the_page():
    for root in (schema("operator"), schema("pipeline")):
        for model in (root, *root["$defs"].values()):
            for key in model["properties"]:
                assert f"`{key}`" in PAGE or f'"{key}"' in PAGE, f"docs/pipelines.md does not tell of {key!r}"

"""The examples of docs/commands.md are operators, and do what the page says."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from interactem.runtime import BytesMessage, MessageHeader
from interactem.runtime.path_mapping import map_path, parse_rules
from interactem.runtime.testing import Operator, call
from interactem.spec import schema

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()


def block(kind, name):
    (text,) = re.findall(rf"^```{kind} {re.escape(name)}\n(.*?)^```", PAGE, re.M | re.S)
    return text


@pytest.fixture
def folder(tmp_path):
    """The operator of this name on the page, with its run.py where that is asked for."""

    def make(name, *, run=False):
        (tmp_path / "operator.json").write_text(block("json", name))
        if run:
            (tmp_path / "run.py").write_text(block("python", name))
        return tmp_path

    return make


def given(data, **meta):
    return BytesMessage(MessageHeader(meta=meta), data)


def test_sorted(folder):
    (made,) = call(folder("sorted"), given(b"b\na\n", number=1), {"reverse": False})
    assert (made.data, made.meta) == (b"a\nb\n", {"number": 1})
    (made,) = call(folder("sorted"), given(b"1 b\n2 a\n"), {"reverse": True, "column": 2})
    assert made.data == b"1 b\n2 a\n"


def test_files(folder):
    made = call(folder("parts"), given(b"1\n2\n3\n", name="x"))
    assert [(one.meta["file"], one.data) for one in made] == [("part-aa", b"1\n2\n"), ("part-ab", b"3\n")]


def test_patterns_and_callbacks(folder, caplog):
    caplog.set_level(logging.INFO)
    place = folder("counted", run=True)
    (place / "render.sh").write_text("echo 'phase: light' >&2; echo 'frame 3' >&2; echo '40% done' >&2; cat")
    with Operator(place) as started:
        (made,) = started.handle(given(b"scene"))
        telling = started.context.telling
    assert made.data == b"scene"
    assert (telling.progress, telling.status, telling.counters) == (40, "light", {"frames": 1})
    assert "frame 3" in caplog.messages


def test_persistent(folder):
    place = folder("lengths")
    (place / "lengths.py").write_text(block("python", "lengths.py"))
    with Operator(place) as started:
        assert [started.handle(given(text))[0].data for text in (b"one", b"")] == [b"3", b"0"]


def test_hooks(tmp_path):
    spec = json.loads(block("json", "sorted"))
    (tmp_path / "operator.json").write_text(json.dumps({**spec, "command": {}}))
    (tmp_path / "run.py").write_text(block("python", "versions"))
    (made,) = call(tmp_path, given(b"1\n2\n3\n", gnu=True))
    assert made.data == b"6"


def test_path_mapping():
    assert map_path(parse_rules(block("json", "rules")), "c:/data/x") == "/mnt/data/x"


def test_every_key_of_a_command_is_on_the_page():
    models = schema("operator")["$defs"]
    for name in ("CommandSpec", "CommandPatterns", "CommandOption"):
        for key in models[name]["properties"]:
            assert f"`{key}`" in PAGE or f'"{key}"' in PAGE, f"docs/commands.md does not tell of {key!r}"

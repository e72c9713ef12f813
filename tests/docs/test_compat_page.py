"""The examples of docs/compat.md are operators, and its table names what there is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from interactem.core.models.messages import BytesMessage
from interactem.runtime.testing import Operator, call

PAGE = (Path(__file__).parents[2] / "docs" / "compat.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture
def example(tmp_path):
    def find(name):
        (code,) = (block for block in BLOCKS if name in block)
        (tmp_path / "run.py").write_text(code)
        return tmp_path

    return find


def test_there_are_two_of_them():
    assert len(BLOCKS) == 2


def test_functions(example):
    (answer,) = call(example("async def say"), BytesMessage(data=b"hey"))
    assert (answer.data, answer.meta) == (b"HEY", {"words": 2})


def test_classes(example):
    with Operator(example("class Show")) as started:
        assert started.handle(BytesMessage(data=b"picture")) == []
        assert started.kernel.function.__name__ == "Show"


def test_every_name_of_the_table_is_there():
    found = []
    for row in re.findall(r"^\| (`interactem\.[^|]*)\|", PAGE, re.M):
        module = None
        for text in re.findall(r"`([\w.]+)[^`]*`", row):
            if not text.startswith("interactem."):
                name = text
            else:
                try:
                    module, name = importlib.import_module(text), None
                except ModuleNotFoundError:
                    path, _, name = text.rpartition(".")
                    module = importlib.import_module(path)
            if name is not None:
                assert hasattr(module, name), (module, name)
                found.append(name)
    assert {"get_logger", "BytesMessage", "MessageSubject", "async_operator", "dependencies", "DATA_DIRECTORY"} < {
        *found
    }
    assert {"AsyncOperator", "publish_image", "publish_table_data", "STREAM_IMAGES"} < {*found}

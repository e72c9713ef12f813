"""What the package promises as a whole: its names, and that it does no I/O."""

from __future__ import annotations

import ast
from importlib.resources import files

import pytest

import interactem.spec

MODULES = [path for path in files("interactem.spec").iterdir() if path.name.endswith(".py")]
FORBIDDEN = {"os", "sys", "io", "pathlib", "socket", "subprocess", "asyncio", "threading", "time", "logging"}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_all_is_sorted_and_complete():
    names = interactem.spec.__all__
    assert names == sorted(names)
    assert all(hasattr(interactem.spec, name) for name in names)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_module_does_io_or_imports_upwards(module):
    tree = ast.parse(module.read_text(encoding="utf-8"))
    names = set(imported(tree))
    assert not {name.partition(".")[0] for name in names} & FORBIDDEN
    assert all(name.startswith("interactem.spec") for name in names if name.startswith("interactem"))
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"open", "print", "input", "exec", "eval"}

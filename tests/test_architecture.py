"""The rules that hold the parts together."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("spec", "runtime", "engine", "cli", "core", "operators")
FOLDERS = {"core": "compat", "operators": "compat"}
"""Where a part lies that is not in a folder of its own name."""
ALLOWED = {
    "spec": {"spec"},
    # operators are tested by their specs; nothing that runs in a replica needs them
    "runtime": {"spec", "runtime"},
    "engine": {"spec", "runtime", "engine"},
    "cli": {"spec", "runtime", "engine", "cli"},
    # interactEM's names, for operators: nothing of ours imports them
    "core": {"runtime", "core"},
    "operators": {"runtime", "core", "operators"},
}
IN_A_REPLICA = "__main__"
FOR_COMMANDS = "interactem.runtime.commands"


def folder(part):
    return ROOT / FOLDERS.get(part, part) / "interactem"


def modules(part):
    return sorted((folder(part) / part).rglob("*.py"))


def imported(path):
    """All modules that a file imports, also inside of functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("part", PARTS)
def test_imports_point_one_way(part):
    assert modules(part)
    for path in modules(part):
        used = {name.split(".")[1] for name in imported(path) if name.startswith("interactem.")}
        assert used <= ALLOWED[part], f"{path.name} imports {used - ALLOWED[part]}"


@pytest.mark.parametrize("part", PARTS)
def test_the_namespace_is_nobodys(part):
    assert not (folder(part) / "__init__.py").exists()
    assert (folder(part) / part / "py.typed").exists()


def test_a_replica_needs_little():
    """What a replica imports is what images install: no pydantic, nothing of the engine.

    What is imported for a command alone, and there lazily, is left out: images have its jinja2 and pydantic too.
    """
    seen, found = set(), set()
    waiting = [ROOT / "runtime" / "interactem" / "runtime" / f"{IN_A_REPLICA}.py"]
    while waiting:
        path = waiting.pop()
        for name in imported(path):
            if not name.startswith("interactem."):
                found.add(name.split(".")[0])
                continue
            for file in () if name.startswith(FOR_COMMANDS) else files_of(name):
                if file not in seen:
                    seen.add(file)
                    waiting.append(file)
    assert {"nats", "msgpack", "numpy"} <= found
    assert not found & {"pydantic", "typer", "rich", "jinja2"}


@pytest.mark.parametrize("part", ["core", "operators"])
def test_published_operators_need_what_a_replica_has(part):
    outside = {name.split(".")[0] for path in modules(part) for name in imported(path)}
    assert outside <= {*sys.stdlib_module_names, "interactem", "nats"}


def files_of(name):
    base = folder(name.split(".")[1]).parent / Path(*name.split("."))
    return [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]


@pytest.mark.parametrize("part", ["spec", "runtime", "engine"])
def test_public_names_are_sorted_and_there(part):
    module = importlib.import_module(f"interactem.{part}")
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


@pytest.mark.parametrize("part", ["spec", "runtime", "engine"])
def test_public_names_are_documented(part):
    """docs/api.md has a section for each package, with exactly the names that it gives."""
    page = (ROOT / "docs" / "api.md").read_text()
    section = page.split(f"## interactem.{part}\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)", section, re.M)
    assert sorted(documented) == list(importlib.import_module(f"interactem.{part}").__all__)

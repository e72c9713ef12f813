"""What `interactem operator validate` checks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from interactem.cli.failures import InvalidError, counted
from interactem.cli.processes import run_module
from interactem.engine.catalog import SPEC_FILE
from interactem.spec import OperatorSpec, Problem, SpecError, catalog_problems, parse_operator


def validate_paths(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """What is known of each valid operator. Raises `InvalidError` with every problem of all of them."""
    problems: list[str] = []
    found: list[dict[str, Any]] = []
    specs: list[tuple[str, OperatorSpec]] = []
    for path in dict.fromkeys(paths):
        spec = None
        try:
            spec = _spec(path)
        except SpecError as error:
            problems += map(str, error.problems)
        kernel = _kernel(path, spec, problems) if path.is_dir() else None
        if spec is None:
            continue
        specs.append((_folder(path), spec))
        found.append({"path": str(path), "id": str(spec.id), "label": spec.label, "kernel": kernel})
    problems += map(str, catalog_problems(specs))
    if problems:
        raise InvalidError(counted(problems), problems)
    return found


def _folder(path: Path) -> str:
    """The operator's folder as it was given, with a name at its end, unlike `.`."""
    folder = path if path.is_dir() else path.parent
    return str(folder if folder.name not in ("", "..") else folder.resolve())


def _has_command(folder: Path) -> bool:
    try:
        value = json.loads((folder / SPEC_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.get("command") is not None


def _spec(path: Path) -> OperatorSpec:
    file = path / SPEC_FILE if path.is_dir() else path
    if not file.is_file():
        what = f"the folder has no {SPEC_FILE}" if path.is_dir() else "there is no such file or folder"
        raise SpecError([Problem(str(path), "", what)])
    return parse_operator(file.read_bytes(), str(file))


def _kernel(folder: Path, spec: OperatorSpec | None, problems: list[str]) -> dict[str, Any] | None:
    if spec is None and _has_command(folder):
        return None  # what is wrong with it has been told
    if not (folder / "run.py").is_file() and (spec is None or spec.command is None):
        problems.append(str(Problem(str(folder), "", "the folder has no run.py", "the kernel stands there")))
        return None
    code, document = run_module(folder, "inspection", [str(folder)])
    if code:
        problems.append(document["error"])
        return None
    return document

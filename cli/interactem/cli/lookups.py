"""Operators by name or path, as commands are given them."""

from __future__ import annotations

import os
from pathlib import Path

from interactem.cli.failures import InvalidError
from interactem.engine.catalog import SPEC_FILE, Catalog, CatalogOperator, find_root, read_spec
from interactem.spec.wording import suggest


def catalog() -> Catalog:
    """The operators of the project that the command is run in."""
    return Catalog.scan(find_root(Path.cwd()))


def find_folder(given: Path) -> Path:
    """The folder that a path or a name means. Raises `InvalidError` where there is none."""
    if given.is_dir():
        return given
    if given.is_file():
        return given.parent
    known = catalog()
    if found := known.operators.get(str(given)):
        return shown(found.folder)
    if problems := known.broken.get(str(given)):
        raise InvalidError(f"the spec of {given} does not hold", problems)
    hint = suggest(str(given), known.operators, "operators")
    raise InvalidError(f"there is no operator {str(given)!r}: {hint}")


def find_operator(given: Path) -> CatalogOperator:
    """The operator that a path or a name means. Raises `InvalidError`, and `SpecError` where its spec does not hold."""
    folder = find_folder(given)
    if not (folder / SPEC_FILE).is_file():
        raise InvalidError(f"{folder} is not an operator: it has no {SPEC_FILE}")
    return CatalogOperator(folder, read_spec(folder))


def shown(path: Path) -> Path:
    """The path as people write it: relative, where it is below the current folder."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else Path(relative)

"""Operators by name or path, as commands are given them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from interactem.cli.failures import InvalidError

if TYPE_CHECKING:
    from interactem.spec import OperatorSpec, Problem

SPEC_FILE = "operator.json"


class Entry(NamedTuple):
    """An operator of the catalog."""

    name: str
    folder: Path
    spec: OperatorSpec


def catalog(directory: Path) -> dict[str, Entry]:
    """The operators below a folder, by name. Raises `SpecError` with everything that is wrong with any of them."""
    from interactem.spec import SpecError, catalog_problems

    problems: list[Problem] = []
    found: dict[str, Entry] = {}
    for file in sorted(directory.rglob(SPEC_FILE)):
        try:
            entry = Entry(file.parent.name, file.parent, read_spec(file))
        except SpecError as error:
            problems += error.problems
        else:
            found[str(file.parent)] = entry
    problems += catalog_problems([(folder, entry.spec) for folder, entry in found.items()])
    if problems:
        raise SpecError(problems)
    return {entry.name: entry for entry in found.values()}


def find_folder(given: Path, directory: Path) -> Path:
    """The folder that a path or a name means. Raises `InvalidError` where there is none."""
    if given.is_dir():
        return given
    if given.is_file():
        return given.parent
    found = [path.parent for path in sorted(directory.rglob(SPEC_FILE)) if path.parent.name == str(given)]
    if len(found) > 1:
        raise InvalidError(f"several folders are named {given}: {', '.join(map(str, found))}; give the path of one")
    if not found:
        from interactem.spec.wording import suggest

        known = sorted({path.parent.name for path in directory.rglob(SPEC_FILE)})
        hint = suggest(str(given), known, f"operators in {directory}")
        raise InvalidError(f"there is no operator {str(given)!r}: {hint}")
    return found[0]


def find_operator(given: Path, directory: Path) -> Entry:
    """The operator that a path or a name means. Raises `InvalidError`, and `SpecError` where its spec does not hold."""
    folder = find_folder(given, directory)
    return Entry(folder.resolve().name, folder, read_spec(folder / SPEC_FILE))


def read_spec(file: Path) -> OperatorSpec:
    from interactem.spec import parse_operator

    if not file.is_file():
        raise InvalidError(f"{file.parent} is not an operator: it has no {file.name}")
    return parse_operator(file.read_bytes(), str(file))

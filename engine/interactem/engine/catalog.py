"""The operators found in folders."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from interactem.spec import OperatorSpec, Problem, SpecError, catalog_problems, parse_operator

OPERATORS = "operators"
SPEC_FILE = "operator.json"

_SKIPPED = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True, slots=True)
class CatalogOperator:
    """An operator of the catalog. Its name is its folder's."""

    folder: Path
    spec: OperatorSpec

    @property
    def name(self) -> str:
        return self.folder.name


@dataclass(frozen=True, slots=True)
class Catalog:
    """The operators by name, in the order of their names, and everything that is wrong with the folders.

    `broken` has the problems of the specs that do not hold, by the operators' names, and `clashes` those of folders
    with one id or one name.
    """

    operators: dict[str, CatalogOperator]
    broken: dict[str, tuple[Problem, ...]]
    clashes: tuple[Problem, ...]

    @classmethod
    def scan(cls, root: Path) -> Catalog:
        """The operators in all folders below `operators/` in `root`, at any depth."""
        found: list[CatalogOperator] = []
        broken: dict[str, tuple[Problem, ...]] = {}
        for folder in sorted(_folders(root / OPERATORS), key=lambda folder: folder.name):
            try:
                found.append(CatalogOperator(folder, read_spec(folder)))
            except SpecError as error:
                broken[folder.name] = (*broken.get(folder.name, ()), *error.problems)
        clashes = catalog_problems((operator.folder.as_posix(), operator.spec) for operator in found)
        return cls({operator.name: operator for operator in found}, broken, tuple(clashes))

    @property
    def specs(self) -> dict[str, OperatorSpec]:
        return {name: operator.spec for name, operator in self.operators.items()}

    @property
    def folders(self) -> dict[str, Path]:
        return {name: operator.folder for name, operator in self.operators.items()}

    def problems(self, used: Container[str] | None = None) -> list[Problem]:
        """Everything that is wrong; with `used`, of the broken specs only those of the operators named there."""
        broken = [problem for name, all_of in self.broken.items() if used is None or name in used for problem in all_of]
        return [*broken, *self.clashes]

    def check(self, used: Container[str] | None = None) -> Catalog:
        """Raises `SpecError` with these problems; returns the catalog itself where there are none."""
        if problems := self.problems(used):
            raise SpecError(problems)
        return self


def read_spec(folder: Path) -> OperatorSpec:
    """The spec in an operator's folder. Raises `SpecError`."""
    file = folder / SPEC_FILE
    try:
        text = file.read_bytes()
    except OSError as error:
        raise SpecError([Problem(str(file), "", f"cannot be read: {error.strerror}")]) from None
    return parse_operator(text, str(file))


def find_root(start: Path) -> Path:
    """The folder whose `operators/` holds the operators: `start` or the nearest above it, else the current one.

    `start` is a folder, or a file such as a pipeline's.
    """
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / OPERATORS).is_dir():
            return folder
    return Path.cwd()


def _folders(top: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for root, folders, files in os.walk(top, followlinks=True):
        if (real := os.path.realpath(root)) in seen:  # a link to a folder above it
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        if SPEC_FILE in files:
            yield Path(root)

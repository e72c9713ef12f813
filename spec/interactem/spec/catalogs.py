"""The operators that there are, as found in folders."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from interactem.spec.errors import Problem
from interactem.spec.operators import OperatorSpec


def catalog_problems(found: Iterable[tuple[str, OperatorSpec]]) -> list[Problem]:
    """Two folders with one id, or with one name, since pipelines name operators by their folder.

    `found` has each operator's folder, as a path with `/`, and its spec.
    """
    problems: list[Problem] = []
    ids: dict[UUID, str] = {}
    names: dict[str, str] = {}
    for folder, spec in found:
        name = operator_name(folder)
        other = ids.setdefault(spec.id, folder)
        if other != folder:
            message = f"the id {spec.id} is also that of {other}"
            problems.append(Problem(f"{folder}/operator.json", "$.id", message, "give one of them a new UUID"))
        other = names.setdefault(name, folder)
        if other != folder:
            message = f"the name {name!r} is also that of {other}"
            problems.append(Problem(folder, "", message, "rename one of the folders"))
    return problems


def operator_name(folder: str) -> str:
    """An operator's name: the last part of its folder's path."""
    return folder.rstrip("/").rpartition("/")[2]

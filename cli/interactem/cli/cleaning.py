"""What `interactem doctor --clean` removes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from interactem.engine.environments import prune
from interactem.engine.index import RunIndex


@dataclass(frozen=True, slots=True)
class Removed:
    """`secrets` are ids of runs, `environments` keys."""

    secrets: list[str]
    environments: list[str]

    def to_value(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        told = [f"removed the secrets of run {run}" for run in self.secrets]
        told += [f"removed the environment {key}" for key in self.environments]
        return told or ["nothing to remove"]


def remove_leftovers() -> Removed:
    """Forget runs whose folders are gone, and remove the secrets of runs that do not run, and unused environments."""
    return Removed(RunIndex().clean(), prune())

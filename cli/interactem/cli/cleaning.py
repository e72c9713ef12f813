"""What `interactem doctor --clean` removes."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from typing import Any

from interactem.engine import arenas
from interactem.engine.containers import leftovers
from interactem.engine.containers.leftovers import engines_that_run
from interactem.engine.environments import prune
from interactem.engine.index import RunIndex


@dataclass(frozen=True, slots=True)
class Removed:
    """`secrets` and `shared_memory` are ids of runs, `environments` keys, `containers` names."""

    secrets: list[str]
    environments: list[str]
    containers: list[str]
    shared_memory: list[str]

    def to_value(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        told = [f"removed the secrets of run {run}" for run in self.secrets]
        told += [f"removed the environment {key}" for key in self.environments]
        told += [f"removed the container {name}" for name in self.containers]
        told += [f"removed the shared memory of run {run}" for run in self.shared_memory]
        return told or ["nothing to remove"]


def remove_leftovers() -> Removed:
    """Remove the containers that nobody looks after, secrets and shared memory of runs that do not run, and unused
    environments.

    Runs whose folders are gone are forgotten. What a run had in shared memory goes into its folder, for `resume`.
    """
    with engines_that_run() as engines:
        containers = [name for engine in engines for name in leftovers.remove_leftovers(engine)]
    return Removed(RunIndex().clean(), prune(), containers, _put_away_memory())


def _put_away_memory() -> list[str]:
    left = arenas.left_behind()
    for run, folder in left.items():
        if folder is not None:
            arenas.put_away(run, folder / "arenas", keep=True)
        else:
            shutil.rmtree(arenas.folder_of(run))
    return list(left)

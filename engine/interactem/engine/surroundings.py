"""What a run is carried out with, and how its replicas are started there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from interactem.engine.broker import EmbeddedBroker
from interactem.engine.folders import EventLog, RunFolder
from interactem.engine.launchers import Launch, Launcher
from interactem.engine.permissions import user_name
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime.connections import Address

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a supervisor acts with. `interpreters` has each operator's Python, by its name in the catalog.

    `broker` is the run's own server; None where it uses another one. `programs` has the `run.py` of each operator that
    is not run from its folder (or from what its image holds), by its name in the catalog. `tell` says something to
    whoever is in front of the run.
    """

    folder: RunFolder
    launcher: Launcher
    address: Address
    interpreters: Mapping[str, Path]
    events: EventLog
    store_bytes: int
    broker: EmbeddedBroker | None = None
    programs: MutableMapping[str, Path] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda text: None

    def slot(self, operator: PlannedOperator, replica: int) -> Path:
        """The crash slot of a replica."""
        return self.folder.path / "slots" / f"{operator.key}.{replica}"

    def data_directory(self, operator: PlannedOperator) -> Path:
        """A folder with each mount under its name."""
        return self.folder.path / "mounts" / operator.key

    def credentials(self, operator: PlannedOperator, replica: int) -> Path | None:
        """The file with the replica's own user; with a broker of somebody else's the user that was given for all."""
        if self.broker is None:
            return self.address.credentials
        return self.broker.credentials_of(user_name(operator.index, replica))

    def lay_down(self, plan: Plan) -> None:
        """Make the places that replicas need."""
        (self.folder.path / "slots").mkdir(exist_ok=True)
        for operator in plan.operators:
            folder = self.data_directory(operator)
            folder.mkdir(parents=True, exist_ok=True)
            for name, target in operator.mounts.items():
                link = folder / name
                if not link.is_symlink():
                    link.symlink_to(target)

    def launch(
        self, run: str, operator: PlannedOperator, replica: int, *, incarnation: int, log: Callable[[bytes], None]
    ) -> Launch:
        """The next start of a replica."""
        environment = {
            "INTERACTEM_RUN": run,
            "INTERACTEM_OPERATOR": str(operator.index),
            "INTERACTEM_REPLICA": str(replica),
            "INTERACTEM_BROKER": self.address.url,
            "INTERACTEM_OUTPUTS": str(self.folder.outputs),
            "INTERACTEM_DATA_DIRECTORY": str(self.data_directory(operator)),
            "INTERACTEM_SLOT": str(self.slot(operator, replica)),
            **_one_thread(os.environ),
        }
        credentials = self.credentials(operator, replica)
        if credentials is not None:
            environment["INTERACTEM_CREDENTIALS"] = str(credentials)
        python = self.interpreters[operator.operator]
        program = self.programs.get(operator.operator, Path(operator.folder, "run.py"))
        return Launch(
            operator=operator.key,
            replica=replica,
            incarnation=incarnation,
            command=(str(python), "-u", "-m", "interactem.runtime", str(program)),
            environment=environment,
            folder=self.folder.path,
            log=log,
        )


def _one_thread(environment: Mapping[str, str]) -> dict[str, str]:
    """Replicas are how work is spread over cores: a numerical library that starts a thread a core stands in the way."""
    return {name: "1" for name in _ONE_THREAD if name not in environment}

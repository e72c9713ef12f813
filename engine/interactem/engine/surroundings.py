"""What a run is carried out with, and how its replicas are started there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from interactem.engine import arenas
from interactem.engine.broker import RunBroker
from interactem.engine.connections import LaidConnections
from interactem.engine.folders import EventLog, RunFolder
from interactem.engine.launchers import Adopted, Launch, Launcher, Place
from interactem.engine.permissions import user_name
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime.connections import Address
from interactem.runtime.path_mapping import VARIABLE
from interactem.runtime.tracing import otel_variables

INSIDE = "/interactem"
"""The folder of a container with what is put into it for us."""
PROGRAM_INSIDE = "/app/run.py"
COMPANIONS = 16
"""So many files come along with a mounted one, at most."""

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a supervisor acts with. `interpreters` has each operator's Python, by its name in the catalog.

    `broker` is the run's own server; None where it uses another one. `programs` has the `run.py` of each operator that
    is not run from its folder (or from what its image holds), by its name in the catalog. `images` has the
    ids of the operators' images, by the same names, where they are run in containers. `tell` says something to whoever
    is in front of the run.
    """

    folder: RunFolder
    launcher: Launcher
    address: Address
    interpreters: Mapping[str, Path]
    events: EventLog
    store_bytes: int
    broker: RunBroker | None = None
    programs: MutableMapping[str, Path] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    connections: LaidConnections = field(default_factory=LaidConnections)
    path_rules: str = ""
    """Path mapping rules, as replicas are given them."""
    tell: Callable[[str], None] = lambda text: None
    attached: bool = False
    """Whether an earlier supervisor has started the run, and its replicas may be at work."""
    adopted: Mapping[tuple[str, int], Adopted] = field(default_factory=dict)
    """Those replicas, by operator and number."""

    def slot(self, operator: PlannedOperator, replica: int) -> Path:
        """The crash slot of a replica."""
        return self.folder.path / "slots" / f"{operator.key}.{replica}"

    def work(self, operator: PlannedOperator, replica: int) -> Path:
        """Where a replica has its working folders."""
        return self.folder.path / "work" / f"{operator.key}.{replica}"

    def data_directory(self, operator: PlannedOperator) -> Path:
        """A folder with each mount under its name."""
        return self.folder.path / "mounts" / operator.key

    def credentials(self, operator: PlannedOperator, replica: int) -> Path | None:
        """The file with the replica's own user; with a broker of somebody else's the user that was given for all."""
        if self.broker is None:
            return self.address.credentials
        return self.broker.credentials_of(user_name(operator.index, replica))

    @property
    def arenas(self) -> Path:
        """Where shared memory is kept while the run does not go on."""
        return self.folder.path / "arenas"

    def make_arenas(self, plan: Plan) -> bool:
        """Make the shared memory. Returns whether what was in it is gone."""
        if plan.no_shm:
            self.events.record("shm", reason=f"messages go through the broker: {plan.no_shm}")
        try:
            return arenas.make(plan, self.arenas)
        except OSError as error:
            self.events.record("shm", reason=f"messages go through the broker: there can be no arenas: {error}")
            return False

    def lay_down(self, plan: Plan) -> None:
        """Make the places that replicas need."""
        (self.folder.path / "slots").mkdir(exist_ok=True)
        for operator in plan.operators:
            folder = self.data_directory(operator)
            folder.mkdir(parents=True, exist_ok=True)
            for name, target in operator.mounts.items():
                link = folder / name
                if not link.is_symlink():
                    link.symlink_to(mounted_at(name, target) if plan.in_containers else target)
            for replica in range(operator.replicas):
                self.slot(operator, replica).touch()  # a container is given the file, and cannot make it
                self.work(operator, replica).mkdir(parents=True, exist_ok=True)

    def launch(
        self,
        run: str,
        operator: PlannedOperator,
        replica: int,
        *,
        incarnation: int,
        log: Callable[[bytes], None],
        note: Mapping[str, Any] = MappingProxyType({}),
    ) -> Launch:
        """The next start of a replica."""
        environment = {
            "INTERACTEM_RUN": run,
            "INTERACTEM_OPERATOR": str(operator.index),
            "INTERACTEM_REPLICA": str(replica),
            "INTERACTEM_BROKER": self.address.url,
            **_threads(os.environ),
            **({VARIABLE: self.path_rules} if self.path_rules else {}),
            **otel_variables(os.environ),
            **self._arenas(run, operator),
        }
        places = {
            "INTERACTEM_OUTPUTS": Place(self.folder.outputs, f"{INSIDE}/outputs", writable=True, owned=True),
            "INTERACTEM_DATA_DIRECTORY": Place(self.data_directory(operator), "/mnt", owned=True),
            "INTERACTEM_WORK": Place(self.work(operator, replica), f"{INSIDE}/work", writable=True, owned=True),
            "INTERACTEM_SLOT": Place(self.slot(operator, replica), f"{INSIDE}/slot", writable=True, owned=True),
        }
        credentials = self.credentials(operator, replica)
        if credentials is not None:
            places["INTERACTEM_CREDENTIALS"] = Place(credentials, f"{INSIDE}/credentials.json", owned=True)
        connections = self.connections.files.get(operator.key)
        if connections is not None:
            places["INTERACTEM_CONNECTIONS"] = Place(connections, f"{INSIDE}/connections.json", owned=True)
        return Launch(
            operator=operator.key,
            replica=replica,
            incarnation=incarnation,
            command=self._command(operator),
            environment=environment,
            folder=self.folder.path,
            log=log,
            run=run,
            image=self.images.get(operator.operator, ""),
            places=places,
            binds=(*self._binds(operator), *arenas.binds(run, operator, replica)),
            resources=operator.resources,
            shared_memory=operator.assignment.arena,
            note=note,
        )

    def _arenas(self, run: str, operator: PlannedOperator) -> dict[str, str]:
        """Where a replica finds shared memory."""
        if not arenas.is_used(operator):
            return {}
        contained = operator.operator in self.images
        return {"INTERACTEM_ARENAS": arenas.INSIDE if contained else str(arenas.folder_of(run))}

    def _command(self, operator: PlannedOperator) -> tuple[str, ...]:
        """Of a process; an image has its own."""
        if operator.operator in self.images:
            return ()
        program = self.programs.get(operator.operator, Path(operator.folder, "run.py"))
        return (str(self.interpreters[operator.operator]), "-u", "-m", "interactem.runtime", str(program))

    def _binds(self, operator: PlannedOperator) -> Iterator[Place]:
        """What a container is given besides: the mounts, and new code over the image's."""
        for name, target in operator.mounts.items():
            inside = PurePosixPath(mounted_at(name, target))
            for path in with_companions(Path(target)):
                yield Place(path, str(inside.with_name(path.name)), writable=name in operator.writable)
        if operator.operator in self.programs:
            yield Place(self.programs[operator.operator], PROGRAM_INSIDE, owned=True)


def mounted_at(name: str, target: str) -> str:
    """Where a mount is inside a container, under its own file name; the data directory has a link there."""
    return f"{INSIDE}/mounts/{name}/{Path(target).name or 'root'}"


def with_companions(path: Path) -> list[Path]:
    """A file and those beside it that differ in the suffix alone, such as the .hdr of a .mib; a folder alone."""
    if not path.is_file():
        return [path]
    beside = [other for other in path.parent.glob(f"{escape(path.stem)}.*") if other.stem == path.stem]
    return [path, *sorted(other for other in beside if other != path and other.is_file())[:COMPANIONS]]


def _threads(environment: Mapping[str, str]) -> dict[str, str]:
    """Replicas are how work is spread over cores: a numerical library that starts a thread a core stands in the way."""
    return {name: environment.get(name, "1") for name in _ONE_THREAD}

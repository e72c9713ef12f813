"""A pipeline that a test runs in its own process: each replica is a thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interactem.engine.catalog import Catalog, find_root
from interactem.engine.decisions import about_to_end, is_drained
from interactem.engine.errors import EngineError
from interactem.engine.plan import Plan, PlannedOperator, make_plan
from interactem.engine.relaying import relayed
from interactem.engine.testing.backends import Backend, backend_of
from interactem.engine.testing.servers import MEBIBYTE, Server
from interactem.engine.testing.taps import GIVEN, TAKEN, with_taps
from interactem.runtime import BytesMessage, Context, wire
from interactem.runtime import operator as under_operator
from interactem.runtime.directories import data_directory_of
from interactem.runtime.kernels import KERNEL, Kernel
from interactem.runtime.loading import load
from interactem.runtime.replica import Replica
from interactem.runtime.slot import Slot
from interactem.runtime.surroundings import linked, own_imports
from interactem.spec import Graph, parse_pipeline

LOOK_SECONDS = 0.005


class PipelineError(EngineError):
    """A pipeline under test did not come to its end."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed for the last time, with its error."""

    message: BytesMessage
    error: str
    attempts: int


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What has come of it. `outputs` is the folder that sinks have written to."""

    outputs: Path
    collected: dict[str, list[BytesMessage]]
    dead: list[DeadLetter]
    counts: dict[str, dict[str, int]]
    """What each operator has counted, such as `received` and `sent`, by its name in the pipeline."""

    def __getitem__(self, port: str) -> list[BytesMessage]:
        """The messages of an output that was collected."""
        return self.collected[port]


class PipelineUnderTest:
    """Runs pipelines; their files are looked for beside the test."""

    def __init__(self, beside: Path, folder: Path) -> None:
        self._beside = beside
        self._folder = folder
        self._runs = 0

    def __call__(
        self,
        pipeline: str | Path | Mapping[str, Any],
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        given: Mapping[str, Sequence[BytesMessage]] | None = None,
        collect: Sequence[str] = (),
        broker: Server | None = None,
        operators: Path | None = None,
        timeout: float = 60.0,
    ) -> PipelineResult:
        """Run a pipeline to its end: a file, or what is in one. Its operators are those of the project above it.

        `parameters` are by operator and name. `given` are messages for inputs, as `operator.port`, in place of what is
        connected to them; sources that nobody reads then are left out. `collect` are outputs whose messages the result
        has. With `broker`, streams are in that server, else in memory. `operators` is the project's folder, if it is
        not above the file. The operators' requirements must be installed where the test runs.

        Raises `SpecError` for a pipeline that does not hold, `LoadError`, and `PipelineError` where a replica fails,
        or the end has not come after `timeout` seconds.
        """
        if isinstance(pipeline, Mapping):
            source, start = "pipeline", self._beside
            value: dict[str, Any] | bytes = dict(pipeline)
        else:
            file = self._beside / pipeline
            source, value, start = str(file), file.read_bytes(), file.parent
        catalog = Catalog.scan(operators or find_root(start))
        parsed = parse_pipeline(value, source).with_parameters(parameters or {})
        given = given or {}
        tapped, specs = with_taps(parsed, catalog.specs, given, collect)
        graph = Graph(tapped, specs, source=source).check()
        self._runs += 1
        folder = self._folder / str(self._runs)
        plan = make_plan(graph, f"test{self._runs}", catalog.folders, max_payload=MEBIBYTE, max_message=1024 * MEBIBYTE)
        collected: dict[str, list[BytesMessage]] = {port: [] for port in collect}
        made: dict[str, Kernel] = {}
        made |= {f"{GIVEN}{number}": _giving(messages) for number, messages in enumerate(given.values())}
        made |= {f"{TAKEN}{number}": _taking(messages) for number, messages in enumerate(collected.values())}
        with _Running(plan, backend_of(plan, broker), folder, made) as running:
            running.finish(timeout)
            return running.result(collected)


def _giving(messages: Sequence[BytesMessage]) -> Kernel:
    @under_operator
    def give(inputs: None, parameters: dict[str, Any], context: Context) -> Any:
        yield from messages[context.position :]

    return _kernel_of(give)


def _taking(taken: list[BytesMessage]) -> Kernel:
    @under_operator
    def take(inputs: BytesMessage, parameters: dict[str, Any]) -> None:
        inputs.data = bytes(inputs.data)
        taken.append(inputs)

    return _kernel_of(take)


def _kernel_of(function: Any) -> Kernel:
    kernel: Kernel = getattr(function, KERNEL)
    return kernel


@dataclass(slots=True)
class _Thread:
    """A replica, and the thread that it lives in."""

    operator: PlannedOperator
    replica: Replica
    thread: threading.Thread = field(default_factory=threading.Thread)
    error: BaseException | None = None


class _Running:
    def __init__(self, plan: Plan, backend: Backend, folder: Path, made: Mapping[str, Kernel]) -> None:
        self._plan = plan
        self._backend = backend
        self._folder = folder
        self._made = made
        self._threads: list[_Thread] = []
        self._passed: dict[str, bytes] = {}
        self._stack = ExitStack()

    def __enter__(self) -> _Running:
        with ExitStack() as stack:
            stack.callback(self._backend.close)
            (self._folder / "outputs").mkdir(parents=True)
            stack.callback(self._stop)
            for operator in self._plan.operators:
                self._tell(operator, "assignment", operator.assignment.to_value())
                self._tell(operator, "parameters", operator.parameters)
            for operator in self._plan.operators:
                for index in range(operator.replicas):
                    self._threads.append(self._replica(operator, index, stack))
            for one in self._threads:
                one.thread.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _tell(self, operator: PlannedOperator, kind: str, value: Mapping[str, Any]) -> None:
        self._backend.tell(self._plan.names.control(operator.index, kind), json.dumps(value).encode())

    def _replica(self, operator: PlannedOperator, index: int, stack: ExitStack) -> _Thread:
        place = self._folder / f"{operator.key}.{index}"
        (place / "work").mkdir(parents=True)
        context = Context(
            operator.key, index, operator.replicas, self._plan.run, self._folder / "outputs", work=place / "work"
        )
        context.init_data = dict(operator.parameters)
        slot = stack.enter_context(Slot(place / "slot"))
        transport = self._backend.connect(operator, index, slot)
        stack.callback(transport.close)
        kernel = self._made.get(operator.key) or self._load(operator)
        replica = Replica(operator.assignment, kernel, transport, context, parameters={}, slot=slot)
        one = _Thread(operator, replica)
        data = linked(place / "data", {name: Path(path) for name, path in operator.mounts.items()})

        def live() -> None:
            with data_directory_of(data):
                try:
                    replica.run()
                except BaseException as error:
                    one.error = error

        one.thread = threading.Thread(target=live, name=f"{operator.key}.{index}", daemon=True)
        return one

    def _load(self, operator: PlannedOperator) -> Kernel:
        folder = Path(operator.folder)
        with own_imports(folder):
            return load(folder / "run.py")

    def finish(self, timeout: float) -> None:
        """Tell operators to finish as the supervisor does, until all are done."""
        told: set[int] = set()
        until = time.monotonic() + timeout
        everyone = {(o.index, replica) for o in self._plan.operators for replica in range(o.replicas)}
        while (finished := self._look()) != everyone:
            outstanding = self._backend.outstanding()
            for operator in about_to_end(self._plan, finished, told):
                if is_drained(outstanding, operator):
                    self._tell(operator, "finish", {})
                    told.add(operator.index)
            if time.monotonic() > until:
                left = sorted({self._plan.operators[index].key for index, _ in everyone - finished})
                raise PipelineError(f"after {timeout:g} s these have not come to their end: {', '.join(left)}")
            time.sleep(LOOK_SECONDS)
        for one in self._threads:
            one.thread.join()

    def _look(self) -> set[tuple[int, int]]:
        """Who is done. Passes the values of side inputs on. Raises `PipelineError` where a replica has failed."""
        for one in self._threads:
            if one.error is not None:
                raise PipelineError(f"{one.operator.key}: {type(one.error).__name__}: {one.error}") from one.error
        finished = set()
        for subject, payload in self._backend.records().items():
            if subject.endswith(".finished"):
                _, _, _, operator, replica, _ = subject.split(".")
                finished.add((int(operator), int(replica)))
            for target in relayed(self._plan, subject) if self._passed.get(subject) != payload else ():
                self._backend.tell(target, payload)
            self._passed[subject] = payload
        return finished

    def _stop(self) -> None:
        for one in self._threads:
            one.replica.stop()
        for one in self._threads:
            if one.thread.ident is not None:
                one.thread.join(10)

    def result(self, collected: dict[str, list[BytesMessage]]) -> PipelineResult:
        counts: dict[str, dict[str, int]] = {}
        records = self._backend.records()
        for operator in self._plan.operators:
            if operator.key.startswith((GIVEN, TAKEN)):
                continue
            found = counts[operator.key] = dict[str, int]()
            for replica in range(operator.replicas):
                told = json.loads(records[self._plan.names.record(operator.index, replica, "finished")])["counts"]
                for name, value in told.items():
                    if type(value) is int:
                        found[name] = found.get(name, 0) + value
        return PipelineResult(self._folder / "outputs", collected, self._dead(), counts)

    def _dead(self) -> list[DeadLetter]:
        letters = [wire.decode(payload) for payload in self._backend.dead()]
        return [
            DeadLetter(batch.messages[0], batch.about["failure"]["error"], batch.about["failure"]["attempts"])
            for batch in letters
        ]

"""A small run, its replicas threads of the test."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delivery_harness.crashes import Aborted, Crash
from delivery_harness.messages import WAIT
from delivery_harness.plans import Edge, Node, make_plan
from nats.errors import Error as NatsError

from interactem.engine.decisions import about_to_end, is_drained
from interactem.engine.plan import Plan, PlannedOperator
from interactem.engine.relaying import relayed
from interactem.runtime import BytesMessage, Context, wire
from interactem.runtime import slot as slots
from interactem.runtime.ids import file
from interactem.runtime.kernels import KERNEL
from interactem.runtime.replica import Replica
from interactem.runtime.slot import Slot
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Store
from interactem.runtime.triggers import Poke


@dataclass
class Running:
    """A replica's incarnation."""

    operator: PlannedOperator
    index: int
    replica: Replica
    transport: Any
    slot: Path
    thread: threading.Thread
    error: BaseException | None = None

    @property
    def alive(self) -> bool:
        return self.thread.is_alive()

    def join(self) -> None:
        self.thread.join(WAIT)
        if self.thread.is_alive():
            raise TimeoutError(f"{self.operator.key}.{self.index} does not end")


@dataclass(frozen=True)
class Dead:
    """A dead letter: its message, and what is known about it."""

    message: BytesMessage
    about: dict[str, Any]

    @property
    def attempts(self) -> int:
        return int(self.about["failure"]["attempts"])

    @property
    def error(self) -> str:
        return str(self.about["failure"]["error"])


class Flow:
    """A run of `nodes` along `edges`. Use `run()` for all of it, or start, crash and finish replicas one by one."""

    def __init__(
        self,
        backend: Callable[[Plan], Any],
        folder: Path,
        nodes: dict[str, Node],
        edges: Sequence[Edge],
        **options: Any,
    ) -> None:
        self.nodes = nodes
        self.plan = make_plan(secrets.token_hex(5), nodes, edges, **options)
        self.names = self.plan.names
        self.backend = backend(self.plan)
        self.running: list[Running] = []
        self.clock: Callable[[], float] = time.time
        self._folder = folder
        self._numbers = itertools.count()
        for operator in self.plan.operators:
            assigned = json.dumps(operator.assignment.to_value()).encode()
            self.backend.tell(self.names.control(operator.index, "assignment"), assigned)
            self.set(operator.key, **operator.parameters)
        self._closed = threading.Event()
        if any(operator.assignment.is_side_input for operator in self.plan.operators):
            threading.Thread(target=self._relay, name="relay", daemon=True).start()

    def _relay(self) -> None:
        """Pass on what side inputs give, as the supervisor does."""
        passed: dict[str, bytes] = {}
        while not self._closed.wait(0.01):
            for subject, payload in self.backend.records().items():
                if passed.get(subject) != payload:
                    passed[subject] = payload
                    for target in relayed(self.plan, subject):
                        self.backend.tell(target, payload)

    def set(self, name: str, **parameters: Any) -> None:
        self.backend.tell(self.names.control(self.operator(name).index, "parameters"), json.dumps(parameters).encode())

    def operator(self, name: str) -> PlannedOperator:
        return self.plan.operator(name)

    def start(
        self, name: str, index: int = 0, *, prepare: Callable[[Any], None] | None = None, **options: Any
    ) -> Running:
        """Start a replica; `prepare` gets its transport before anything else does."""
        operator = self.operator(name)
        path = self._folder / f"slot-{self.plan.run}-{name}-{index}-{next(self._numbers)}"
        slot = Slot(path)
        transport = self.backend.connect(operator, index, slot)
        if prepare is not None:
            prepare(transport)
        context = Context(name, index, operator.replicas, self.plan.run, self._folder)
        kernel = getattr(self.nodes[name].kernel, KERNEL)
        replica = Replica(
            operator.assignment, kernel, transport, context, parameters={}, slot=slot, clock=self.clock, **options
        )
        running = Running(operator, index, replica, transport, path, threading.Thread(), None)
        running.thread = threading.Thread(target=self._live, args=(running,), name=f"{name}.{index}", daemon=True)
        self.running.append(running)
        running.thread.start()
        return running

    def _live(self, running: Running) -> None:
        try:
            running.replica.run()
        except BaseException as error:
            running.error = error

    def start_all(self, *, but: tuple[str, ...] = ()) -> None:
        for operator in self.plan.operators:
            for index in range(operator.replicas):
                if operator.key not in but:
                    self.start(operator.key, index)

    def run(self) -> Flow:
        """Start every replica and follow the stream to its end."""
        self.start_all()
        self.finish()
        return self

    def finish(self) -> None:
        """Tell operators to finish as the supervisor does, until every replica is done."""
        told: set[int] = set()
        closed: set[int] = set()
        until = time.monotonic() + WAIT
        everyone = {(o.index, r) for o in self.plan.operators for r in range(o.replicas)}
        while (finished := self.finished()) != everyone:
            self._tend()
            outstanding = self.backend.outstanding()
            for operator in about_to_end(self.plan, finished, told):
                if operator.index not in closed:
                    self.backend.tell(self.names.control(operator.index, "closed"), b"{}")
                    closed.add(operator.index)
                if is_drained(outstanding, operator):
                    self.tell_to_finish(operator.key)
                    told.add(operator.index)
            if time.monotonic() > until:
                errors = [f"{r.operator.key}: {r.error!r}" for r in self.running if r.error is not None]
                raise TimeoutError(f"only {finished} of {everyone} are done; outstanding: {outstanding}; {errors}")
            time.sleep(0.005)
        for running in self.running:
            running.join()
        self.close_transports()

    def _tend(self) -> None:
        """Replace replicas that crashed; any other error is the test's."""
        for running in list(self.running):
            if isinstance(running.error, (Crash, Aborted)):
                self.record_crash(running)
                self.crash(running)
                self.start(running.operator.key, running.index)
            elif running.error is not None:
                raise running.error

    def forget_drain(self, name: str) -> None:
        """What the engine does when it resumes a run: the operator is neither done nor to be drained."""
        index = self.operator(name).index
        finished = [self.names.record(index, replica, "finished") for replica in range(self.operator(name).replicas)]
        self.backend.forget([self.names.control(index, "drain"), *finished])

    def tell_to_finish(self, name: str) -> None:
        self.backend.tell(self.names.control(self.operator(name).index, "finish"), b"{}")

    def finished(self) -> set[tuple[int, int]]:
        parts = [subject.split(".") for subject in self.backend.records() if subject.endswith(".finished")]
        return {(int(p[3]), int(p[4])) for p in parts}

    def crash(self, running: Running) -> None:
        """After the replica's thread has ended by itself (a `Crash`), hand back what it held."""
        running.join()
        self.abandon(running)

    def abandon(self, running: Running) -> None:
        self.backend.abandon(running.transport, running.slot)
        running.replica.stop()
        running.join()
        self.running.remove(running)

    def record_crash(self, running: Running, error: str = "the kernel ended its process") -> slots.Call | None:
        """What the supervisor writes down after a death within a call, or with several in flight."""
        calls, _ = slots.read(running.slot)
        if not calls:
            return None
        call, *others = calls
        value: dict[str, Any] = {"edge": call.edge, "id": call.message_id, "attempts": call.attempt, "error": error}
        if others:
            value["others"] = [[one.edge, one.message_id, one.attempt] for one in others]
        subject = self.names.crash(running.operator.index, call.edge, " ".join(one.message_id for one in calls))
        self.backend.tell(subject, json.dumps(value).encode())
        return call

    def feed(
        self,
        name: str,
        messages: list[BytesMessage],
        *,
        port: str = "out",
        ids: list[str] | None = None,
        lane: int | str = 0,
    ) -> None:
        """Store one batch as if the operator `name` had sent it."""
        ids = [m.id or f"{name}.{n}" for n, m in enumerate(messages)] if ids is None else ids
        payload = wire.encode([wire.pack(m, *file(i)) for m, i in zip(messages, ids, strict=True)])
        self.feed_raw(name, payload, port=port, lane=lane)

    def feed_raw(self, name: str, payload: bytes, *, port: str = "out", lane: int | str = 0) -> None:
        output = next(o for o in self.operator(name).assignment.outputs if o.port == port)
        self.backend.store(Store(Names(self.plan.run).messages(output.stream, lane), payload, None, wire=True))

    def finished_without(self, name: str) -> None:
        """Say that the operator is done though no replica of it ever ran."""
        for index in range(self.operator(name).replicas):
            subject = self.names.record(self.operator(name).index, index, "finished")
            self.backend.tell(subject, json.dumps({"drained": False, "counts": {}}).encode())

    def counts(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for index in range(self.operator(name).replicas):
            record = self.backend.records()[self.names.record(self.operator(name).index, index, "finished")]
            for key, value in json.loads(record)["counts"].items():
                if type(value) is int:
                    found[key] = found.get(key, 0) + value
        return found

    def events(self, count: int) -> list[dict[str, Any]]:
        """What replicas have said went wrong, once there is so much of it."""
        until = time.monotonic() + WAIT
        while len(found := [event for told in self.backend.reports() for event in told.get("events", [])]) < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(found)} of {count} events came")
            time.sleep(0.005)
        return found

    def poke(self, name: str, trigger: str, *, drain: bool = False) -> dict[str, Any]:
        """Pull a trigger of the operator, whose one replica runs; what it answers."""
        poke = Poke(secrets.token_hex(8), trigger, drain)
        until = time.monotonic() + WAIT
        while not any(answer.get("id") == poke.id for answer in self.backend.answers()):
            if time.monotonic() > until:
                raise TimeoutError("the poke was never taken")
            self.backend.poke(self.operator(name).index, poke.to_bytes())
            time.sleep(0.05)
        return self.answer(lambda answer: answer.get("id") == poke.id and "calls" in answer)

    def answer(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first of the answers that is `wanted`."""
        until = time.monotonic() + WAIT
        while not (found := [answer for answer in self.backend.answers() if wanted(answer)]):
            if time.monotonic() > until:
                raise TimeoutError("there was no such answer")
            time.sleep(0.005)
        return found[0]

    def dead(self) -> list[Dead]:
        return [Dead(m, about) for m, about in self._dead()]

    def _dead(self) -> list[tuple[BytesMessage, dict[str, Any]]]:
        decoded = [wire.decode(payload) for payload in self.backend.dead()]
        return sorted(((batch.messages[0], batch.about) for batch in decoded), key=lambda pair: pair[0].id or "")

    def close_transports(self) -> None:
        for running in self.running:
            running.transport.close()
        self.running.clear()

    def close(self) -> None:
        self._closed.set()
        for running in list(self.running):
            running.replica.stop()
        for running in self.running:
            try:
                running.transport.close()
            except (NatsError, OSError, TimeoutError):
                continue
        for running in self.running:
            running.thread.join(5)
        self.backend.close()

"""Runs replicas in threads, on a broker in memory or a real one: what the tests of delivery stand on.

A `Flow` is a small run. Its kernels are plain functions of the test; the pure rules of the engine say when an operator
is told to finish. A crash abandons a replica as a killed process would: nothing more of it is stored or settled, and
what it held is handed out again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgpack
from nats.errors import Error as NatsError

from interactem.engine import streams
from interactem.engine.broker import EmbeddedBroker
from interactem.engine.decisions import about_to_end, is_drained
from interactem.engine.permissions import all_permissions, user_name
from interactem.engine.plan import Plan, PlannedOperator, consumers
from interactem.engine.relaying import relayed
from interactem.runtime import BytesMessage, Context, MessageHeader, wire
from interactem.runtime import operator as under_operator
from interactem.runtime import slot as slots
from interactem.runtime.assignment import Assignment, Input, Output, SideInput
from interactem.runtime.connections import Address, Storer, connect
from interactem.runtime.ids import file
from interactem.runtime.kernels import KERNEL
from interactem.runtime.replica import Replica
from interactem.runtime.routing import Route
from interactem.runtime.slot import Slot
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Store
from interactem.runtime.transports.memory import MemoryBroker
from interactem.runtime.transports.nats import NatsTransport
from interactem.runtime.triggers import Poke
from interactem.spec.routes import When

WAIT = 60.0
MEBIBYTE = 2**20


class Crash(BaseException):
    """The process dies here."""


class Aborted(ConnectionAbortedError):
    """The process died while something was stored or settled."""


def message(data: bytes = b"", **meta: Any) -> BytesMessage:
    return BytesMessage(MessageHeader(meta=meta), data)


def numbers(count: int) -> Callable[..., Any]:
    """A source of the messages 0 to `count` - 1."""

    @under_operator
    def source(inputs, parameters):
        for number in range(count):
            yield message(str(number).encode())

    return source


class Collected:
    """A sink that keeps what it was given: (data, id), in the order of arrival, and lets a test wait for more."""

    def __init__(self) -> None:
        self.messages: list[BytesMessage] = []
        self.changed = threading.Condition()

        @under_operator
        def sink(inputs, parameters, context):
            self.keep(inputs)

        self.kernel = sink

    def keep(self, received: BytesMessage) -> None:
        with self.changed:
            received.data = bytes(received.data)
            self.messages.append(received)
            self.changed.notify_all()

    def wait(self, count: int, wanted: Callable[[BytesMessage], bool] = lambda message: True) -> None:
        """Until so many messages that are `wanted` have come."""
        with self.changed:
            if not self.changed.wait_for(lambda: sum(map(wanted, self.messages)) >= count, WAIT):
                raise TimeoutError(f"of {len(self.messages)} messages that came {count} should have been wanted")

    @property
    def data(self) -> list[bytes]:
        return [m.data for m in self.messages]

    @property
    def ids(self) -> list[str | None]:
        return [m.id for m in self.messages]

    @property
    def ints(self) -> list[int]:
        return [int(m.data) for m in self.messages]


@dataclass
class Node:
    """An operator of a flow. `outputs` are its ports; its inputs come from the edges."""

    kernel: Callable[..., Any]
    outputs: tuple[str, ...] = ("out",)
    replicas: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    every: float | None = None
    """Of a side input."""
    side_inputs: dict[str, str] = field(default_factory=dict)

    @property
    def is_sink(self) -> bool:
        return set(self.outputs) <= set(self.fallbacks)


def source(kernel: Callable[..., Any], *outputs: str, **options: Any) -> Node:
    return node(kernel, *outputs, **options)


def node(
    kernel: Callable[..., Any],
    *outputs: str,
    replicas: int = 1,
    parameters: dict[str, Any] | None = None,
    **options: Any,
) -> Node:
    return Node(kernel, outputs or ("out",), replicas, parameters or {}, options)


def sink(kernel: Callable[..., Any] | Collected, *fallbacks: str, replicas: int = 1, **options: Any) -> Node:
    kernel = kernel.kernel if isinstance(kernel, Collected) else kernel
    return Node(kernel, fallbacks, replicas, {}, options, fallbacks)


def side_input(kernel: Callable[..., Any], *, every: float = 60.0, **options: Any) -> Node:
    return Node(kernel, (), 1, {}, options, every=every)


def naming(node: Node, *, wait: float = WAIT, **side_inputs: str) -> Node:
    """The same operator with side inputs, by name."""
    return replace(node, side_inputs=side_inputs, options={**node.options, "wait": wait})


Edge = str | tuple[str, dict[str, Any]]
"""`a.out > b.in`, or `a > b` for these ports; beside it, what the pipeline file would say of it."""


def make_plan(run: str, nodes: dict[str, Node], given: Sequence[Edge], **options: Any) -> Plan:
    """The plan of a flow."""
    said = [{} if isinstance(edge, str) else edge[1] for edge in given]
    edges = [edge if isinstance(edge, str) else edge[0] for edge in given]
    index = {name: number for number, name in enumerate(nodes)}
    parsed = [
        tuple(_port(part, default) for part, default in zip(e.split(">"), ("out", "in"), strict=True)) for e in edges
    ]
    stream = {key: n for n, key in enumerate((name, port) for name, nd in nodes.items() for port in nd.outputs)}
    keyed = [said_one.get("key") for said_one in said]
    parts = [
        nodes[name].replicas if nodes[name].is_sink or key else 1
        for (_, (name, _)), key in zip(parsed, keyed, strict=True)
    ]
    operators = []
    for name, nd in nodes.items():
        inputs = tuple(
            Input(number, target[1], stream[begin], parts[number], keyed=keyed[number] is not None)
            for number, (begin, target) in enumerate(parsed)
            if target[0] == name
        )
        outputs = []
        for port in nd.outputs:
            out = [(number, target[0]) for number, (begin, target) in enumerate(parsed) if begin == (name, port)]
            readers = tuple(sorted({index[reader] for _, reader in out}))
            numbers = tuple(number for number, _ in out)
            ways = math.lcm(*(parts[number] for number in numbers if not keyed[number]), 1)
            routes = tuple(_route(number, edges[number], said[number]) for number in numbers if said[number])
            each = tuple(parts[number] for number in numbers)
            outputs.append(
                Output(
                    port,
                    stream[name, port],
                    ways,
                    numbers,
                    readers,
                    each,
                    fallback=port in nd.fallbacks,
                    routes=routes,
                )
            )
        wait = nd.options.pop("wait", WAIT)
        sides = tuple(SideInput(n, index[giver], giver, wait) for n, giver in nd.side_inputs.items())
        more = {"ack_wait": 2.0, "every": nd.every, "side_inputs": sides, **options, **nd.options}
        assignment = Assignment(
            run,
            index[name],
            name,
            nd.replicas,
            inputs,
            tuple(outputs),
            **more,
        )
        operators.append(PlannedOperator(name, name, "", assignment, nd.parameters))
    return Plan(run, "test", "process", tuple(operators), {})


def _route(number: int, name: str, said: dict[str, Any]) -> Route:
    when = When.model_validate(said["when"]).rules if "when" in said else ()
    return Route(number, name, when, tuple(said["key"].split(".")[1:]) if "key" in said else ())


def _port(text: str, default: str) -> tuple[str, str]:
    name, _, port = text.strip().partition(".")
    return name, port or default


class MemoryBackend:
    """The flow's streams in this process."""

    def __init__(self, plan: Plan, *, stream_batches: int = 10_000) -> None:
        self.plan = plan
        self.broker = MemoryBroker([o.assignment for o in plan.operators], stream_batches=stream_batches)

    def connect(self, operator: PlannedOperator, replica: int, slot: Slot) -> Any:
        return self.broker.connect(operator.assignment, replica)

    def abandon(self, transport: Any, slot: Path) -> None:
        self.broker.abandon(transport)

    def tell(self, subject: str, payload: bytes) -> None:
        self.broker.tell(subject, payload)

    def store(self, item: Store) -> None:
        with self.broker.changed:
            self.broker.store(item)

    def records(self) -> dict[str, bytes]:
        with self.broker.changed:
            return dict(self.broker.records)

    def forget(self, subjects: list[str]) -> None:
        with self.broker.changed:
            for subject in subjects:
                self.broker.records.pop(subject, None)

    def outstanding(self) -> dict[int, int]:
        edges = [entry.edge for o in self.plan.operators for entry in o.assignment.inputs]
        return {edge: self.broker.outstanding(edge) for edge in edges}

    def dead(self) -> list[bytes]:
        with self.broker.changed:
            return list(self.broker.dead.values())

    def blobs(self) -> int:
        with self.broker.changed:
            return len(self.broker.blobs)

    def reports(self) -> list[dict[str, Any]]:
        with self.broker.changed:
            return [msgpack.unpackb(payload) for subject, payload in self.broker.reports if ".a." not in subject]

    def poke(self, operator: int, payload: bytes) -> None:
        self.broker.poke(operator, payload)

    def answers(self) -> list[dict[str, Any]]:
        with self.broker.changed:
            return [json.loads(payload) for subject, payload in self.broker.reports if ".a." in subject]

    def close(self) -> None:
        pass


class Server:
    """A plan's own NATS server, with a thread that starts it and talks to it."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)
        self._thread.start()
        self.broker: EmbeddedBroker = self.call(
            EmbeddedBroker.start(
                folder / "broker",
                folder / "secrets",
                durability="process",
                store_bytes=4096 * MEBIBYTE,
                max_payload=MEBIBYTE,
                replicas=all_permissions(plan),
            )
        )
        self.address = Address(self.broker.url, self.broker.credentials)
        self.storer: Storer
        self.call(self._connect())

    async def _connect(self) -> None:
        self.client = await connect(self.address, "harness", reconnected=lambda: self.storer.resend())
        self.storer = Storer(self.client)
        await self.storer.open()

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT)

    def kill(self) -> None:
        os.kill(self.broker.pid, signal.SIGKILL)
        self.call(self.broker.wait())

    def restart(self) -> None:
        self.call(self.broker.restart())

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def close(self) -> None:
        self.call(self.client.close())
        self.call(self.broker.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)
        self._loop.close()


class NatsBackend:
    """The flow's streams on a real server, to which each replica connects as the user that it is in a run."""

    def __init__(self, plan: Plan, folder: Path, *, store_bytes: int = 256 * MEBIBYTE) -> None:
        self.plan = plan
        self.server = server = Server(plan, folder / f"server-{plan.run}")
        self._storer = server.storer
        self._call = server.call
        self._call(streams.create(self._storer, plan, store_bytes))
        self._reports: list[dict[str, Any]] = []
        self._answers: list[dict[str, Any]] = []
        self._call(self._listen())

    async def _listen(self) -> None:
        async def on_report(report: Any) -> None:
            self._reports.append(msgpack.unpackb(report.data))

        async def on_answer(answer: Any) -> None:
            self._answers.append(json.loads(answer.data))

        await self.server.client.subscribe(self.plan.names.answers("*", "*"), cb=on_answer)
        await self.server.client.subscribe(self.plan.names.report("*", "*"), cb=on_report)
        await self.server.client.subscribe(self.plan.names.events("*", "*"), cb=on_report)

    def connect(self, operator: PlannedOperator, replica: int, slot: Slot) -> Any:
        credentials = self.server.broker.credentials_of(user_name(operator.index, replica))
        address = Address(self.server.broker.url, credentials)
        transport = NatsTransport(address, self.plan.run, operator.index, replica, slot)
        transport.start()
        return transport

    def abandon(self, transport: Any, slot: Path) -> None:
        transport.close()
        _, held = slots.read(slot)
        for reply in held:
            self._call(self.server.client.publish(reply, b"-NAK"))
        self._call(self.server.client.flush())

    def tell(self, subject: str, payload: bytes) -> None:
        self._call(self._storer.store(Store(subject, payload)))

    def store(self, item: Store) -> None:
        self._call(self._storer.store(item))

    def records(self) -> dict[str, bytes]:
        names = self.plan.names
        found: dict[str, bytes] = self._call(streams.controls(self._storer, self.plan))
        return found | self._call(self._storer.last(names.record_stream, [names.record("*", "*", "*")]))

    def forget(self, subjects: list[str]) -> None:
        names = self.plan.names
        for subject in subjects:
            _, _, kind, operator, *_ = subject.split(".")
            stream = names.control_stream(int(operator)) if kind == "c" else names.record_stream
            self._call(streams.purge(self._storer, stream, subject))

    def outstanding(self) -> dict[int, int]:
        found: dict[int, int] = self._call(streams.outstanding(self._storer, consumers(self.plan)))
        return found

    def dead(self) -> list[bytes]:
        names = self.plan.names
        return list(self._call(self._storer.last(names.dead_stream, [names.dead("*", "*")])).values())

    def blobs(self) -> int:
        names = self.plan.names
        everything = [names.blob("*", "*", "*"), names.piece("*", "*", "*", "*")]
        # where one was removed there is an empty payload for a moment
        return len(list(filter(None, self._call(self._storer.last(names.blob_stream, everything)).values())))

    def reports(self) -> list[dict[str, Any]]:
        return list(self._reports)

    def poke(self, operator: int, payload: bytes) -> None:
        self._call(self.server.client.publish(self.plan.names.pokes(operator), payload))

    def answers(self) -> list[dict[str, Any]]:
        return list(self._answers)

    def close(self) -> None:
        if not self.server.closed:
            self._call(streams.remove(self._storer, self.plan))
            self.server.close()


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

    def feed(self, name: str, messages: list[BytesMessage], *, port: str = "out", ids: list[str] | None = None) -> None:
        """Store one batch as if the operator `name` had sent it."""
        ids = [m.id or f"{name}.{n}" for n, m in enumerate(messages)] if ids is None else ids
        payload = wire.encode([wire.pack(m, *file(i)) for m, i in zip(messages, ids, strict=True)])
        self.feed_raw(name, payload, port=port)

    def feed_raw(self, name: str, payload: bytes, *, port: str = "out") -> None:
        output = next(o for o in self.operator(name).assignment.outputs if o.port == port)
        self.backend.store(Store(Names(self.plan.run).messages(output.stream, 0), payload, None, wire=True))

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


def crash_at(step: int, *, before: bool) -> tuple[Callable[[Any], None], threading.Event]:
    """Make a transport crash at its `step`-th storing or settling, `before` it or just after. The event says it did."""
    count = itertools.count()
    crashed = threading.Event()

    def crash_if(now: bool) -> None:
        if now:
            crashed.set()
        if crashed.is_set():
            raise Aborted

    def stepping(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> None:
            now = next(count) == step
            crash_if(now and before)
            original(*arguments)
            crash_if(now)

        return run

    def stepping_async(original: Callable[..., Any], transport: Any) -> Callable[..., Any]:
        async def run(*arguments: Any) -> None:
            now = next(count) == step
            crash_if(now and before)
            await original(*arguments)
            if now:
                await transport._client.flush()
            crash_if(now)

        return run

    def prepare(transport: Any) -> None:
        for name in ("_store", "_settle"):
            original = getattr(transport, name)
            is_async = isinstance(transport, NatsTransport)
            setattr(transport, name, stepping_async(original, transport) if is_async else stepping(original))

    return prepare, crashed

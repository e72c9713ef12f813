"""Where the streams of a flow are: what pytest's plugin has, and what only these tests ask of it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgpack

from interactem.engine import streams
from interactem.engine.permissions import all_permissions, user_name
from interactem.engine.plan import Plan, PlannedOperator
from interactem.engine.testing import backends
from interactem.engine.testing.servers import MEBIBYTE, Server
from interactem.runtime import slot as slots
from interactem.runtime.connections import Address
from interactem.runtime.slot import Slot
from interactem.runtime.transports import Store, Transport
from interactem.runtime.transports.memory import MemoryBroker
from interactem.runtime.transports.nats import NatsTransport


class MemoryBackend(backends.MemoryBackend):
    """The flow's streams in this process."""

    def __init__(self, plan: Plan, *, stream_batches: int = 10_000) -> None:
        super().__init__(plan)
        self._broker = MemoryBroker([o.assignment for o in plan.operators], stream_batches=stream_batches)

    def abandon(self, transport: Any, slot: Path) -> None:
        self._broker.abandon(transport)

    def store(self, item: Store) -> None:
        with self._broker.changed:
            self._broker.store(item)

    def forget(self, subjects: list[str]) -> None:
        with self._broker.changed:
            for subject in subjects:
                self._broker.records.pop(subject, None)

    def blobs(self) -> int:
        with self._broker.changed:
            return len(self._broker.blobs)

    def reports(self) -> list[dict[str, Any]]:
        with self._broker.changed:
            return [msgpack.unpackb(payload) for subject, payload in self._broker.reports if ".a." not in subject]

    def poke(self, operator: int, payload: bytes) -> None:
        self._broker.poke(operator, payload)

    def answers(self) -> list[dict[str, Any]]:
        with self._broker.changed:
            return [json.loads(payload) for subject, payload in self._broker.reports if ".a." in subject]


class NatsBackend(backends.NatsBackend):
    """The flow's streams on a server of its own, to which each replica connects as the user that it is in a run."""

    def __init__(self, plan: Plan, folder: Path, *, store_bytes: int = 256 * MEBIBYTE) -> None:
        folder = folder / f"server-{plan.run}"
        folder.mkdir()
        self._stack = ExitStack()
        self.server = server = self._stack.enter_context(Server(folder, replicas=all_permissions(plan)))
        super().__init__(plan, server, store_bytes)
        self._stack.callback(super().close)
        self._do = server.do
        self._reports: list[dict[str, Any]] = []
        self._answers: list[dict[str, Any]] = []
        self._do(self._listen())

    async def _listen(self) -> None:
        async def on_report(report: Any) -> None:
            self._reports.append(msgpack.unpackb(report.data))

        async def on_answer(answer: Any) -> None:
            self._answers.append(json.loads(answer.data))

        names, client = self._plan.names, self.server.client
        await client.subscribe(names.answers("*", "*"), cb=on_answer)
        await client.subscribe(names.report("*", "*"), cb=on_report)
        await client.subscribe(names.events("*", "*"), cb=on_report)

    def connect(self, operator: PlannedOperator, replica: int, slot: Slot) -> Transport:
        credentials = self.server.broker.credentials_of(user_name(operator.index, replica))
        transport = NatsTransport(Address(self.server.url, credentials), self._plan.run, operator.index, replica, slot)
        transport.start()
        return transport

    def abandon(self, transport: Any, slot: Path) -> None:
        transport.close()
        _, held = slots.read(slot)
        for reply in held:
            self._do(self.server.client.publish(reply, b"-NAK"))
        self._do(self.server.client.flush())

    def store(self, item: Store) -> None:
        self._do(self.server.storer.store(item))

    def records(self) -> dict[str, bytes]:
        """What replicas have stored and what they were told."""
        told: dict[str, bytes] = self._do(streams.controls(self.server.storer, self._plan))
        return told | super().records()

    def forget(self, subjects: list[str]) -> None:
        names = self._plan.names
        for subject in subjects:
            _, _, kind, operator, *_ = subject.split(".")
            stream = names.control_stream(int(operator)) if kind == "c" else names.record_stream
            self._do(streams.purge(self.server.storer, stream, subject))

    def blobs(self) -> int:
        names = self._plan.names
        everything = [names.blob("*", "*", "*"), names.piece("*", "*", "*", "*")]
        # where one was removed there is an empty payload for a moment
        return len(list(filter(None, self._do(self.server.storer.last(names.blob_stream, everything)).values())))

    def reports(self) -> list[dict[str, Any]]:
        return list(self._reports)

    def poke(self, operator: int, payload: bytes) -> None:
        self._do(self.server.client.publish(self._plan.names.pokes(operator), payload))

    def answers(self) -> list[dict[str, Any]]:
        return list(self._answers)

    def close(self) -> None:
        self._stack.close()

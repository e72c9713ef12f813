"""Where the streams of a pipeline under test are: in memory, or in a NATS server."""

from __future__ import annotations

from typing import Protocol

from interactem.engine import streams
from interactem.engine.plan import Plan, PlannedOperator, consumers
from interactem.engine.testing.servers import MEBIBYTE, Server
from interactem.runtime.slot import Slot
from interactem.runtime.transports import Store, Transport
from interactem.runtime.transports.memory import MemoryBroker
from interactem.runtime.transports.nats import NatsTransport


class Backend(Protocol):
    """The streams of one plan."""

    def connect(self, operator: PlannedOperator, replica: int, slot: Slot) -> Transport: ...

    def tell(self, subject: str, payload: bytes) -> None:
        """Store what the engine says to an operator."""
        ...

    def records(self) -> dict[str, bytes]:
        """What replicas have stored, by subject."""
        ...

    def outstanding(self) -> dict[int, int]:
        """How many batches are left, by edge."""
        ...

    def dead(self) -> list[bytes]:
        """The dead letters, as they are stored."""
        ...

    def close(self) -> None: ...


class MemoryBackend:
    def __init__(self, plan: Plan) -> None:
        self._edges = [entry.edge for operator in plan.operators for entry in operator.assignment.inputs]
        self._broker = MemoryBroker([operator.assignment for operator in plan.operators])

    def connect(self, operator: PlannedOperator, replica: int, slot: Slot) -> Transport:
        return self._broker.connect(operator.assignment, replica)

    def tell(self, subject: str, payload: bytes) -> None:
        self._broker.tell(subject, payload)

    def records(self) -> dict[str, bytes]:
        with self._broker.changed:
            return dict(self._broker.records)

    def outstanding(self) -> dict[int, int]:
        return {edge: self._broker.outstanding(edge) for edge in self._edges}

    def dead(self) -> list[bytes]:
        with self._broker.changed:
            return list(self._broker.dead.values())

    def close(self) -> None:
        return None


class NatsBackend:
    """All replicas are the server's one user, who may do everything."""

    def __init__(self, plan: Plan, server: Server, store_bytes: int = 256 * MEBIBYTE) -> None:
        self._plan = plan
        self._server = server
        server.do(streams.create(server.storer, plan, store_bytes))

    def connect(self, operator: PlannedOperator, replica: int, slot: Slot) -> Transport:
        transport = NatsTransport(self._server.address, self._plan.run, operator.index, replica, slot)
        transport.start()
        return transport

    def tell(self, subject: str, payload: bytes) -> None:
        self._server.do(self._server.storer.store(Store(subject, payload)))

    def records(self) -> dict[str, bytes]:
        names, storer = self._plan.names, self._server.storer
        return self._server.do(storer.last(names.record_stream, [names.record("*", "*", "*")]))

    def outstanding(self) -> dict[int, int]:
        return self._server.do(streams.outstanding(self._server.storer, consumers(self._plan)))

    def dead(self) -> list[bytes]:
        names, storer = self._plan.names, self._server.storer
        return list(self._server.do(storer.last(names.dead_stream, [names.dead("*", "*")])).values())

    def close(self) -> None:
        self._server.do(streams.remove(self._server.storer, self._plan))


def backend_of(plan: Plan, server: Server | None) -> Backend:
    return MemoryBackend(plan) if server is None else NatsBackend(plan, server)

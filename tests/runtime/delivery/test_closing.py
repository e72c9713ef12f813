"""A transport whose thread has come to its end refuses calls, however it ended."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
from delivery_harness import Collected, Flow, NatsBackend, numbers, sink, source

from interactem.runtime.connections import Address
from interactem.runtime.errors import TransportError
from interactem.runtime.transports.nats import NatsTransport

pytestmark = pytest.mark.broker


@pytest.fixture
def flow(tmp_path):
    nodes = {"s": source(numbers(1)), "k": sink(Collected())}
    made = Flow(lambda plan: NatsBackend(plan, tmp_path), tmp_path, nodes, ["s > k"])
    yield made
    made.close()


def is_refused(transport):
    transport._thread.join(30)
    with pytest.raises(TransportError):
        transport.report("i.x", b"")
    gc.collect()  # what was never awaited says so now, and a warning is an error
    return True


def test_one_that_was_closed(flow):
    running = flow.start("k")
    running.transport.assignment()
    running.transport.close()
    assert is_refused(running.transport)


def test_one_that_never_came_to_be(flow, tmp_path):
    wrong = Path(tmp_path / "wrong.json")
    wrong.write_text(json.dumps({"user": "run", "password": "guessed"}))
    transport = NatsTransport(Address(flow.backend.server.broker.url, wrong), flow.plan.run, 1, 0)
    transport.start()
    with pytest.raises(TransportError, match="refuses these credentials"):
        transport.assignment()
    assert is_refused(transport)

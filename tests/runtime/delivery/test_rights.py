"""A replica that may not do what it has to: it says so and ends, and waits for nothing."""

from __future__ import annotations

from dataclasses import replace

import delivery_harness
import pytest
from delivery_harness import Collected, Flow, NatsBackend, node, numbers, sink, source

from interactem.engine.permissions import all_permissions
from interactem.runtime import operator
from interactem.runtime.errors import TransportError

pytestmark = pytest.mark.broker


@operator
def forward(inputs, parameters):
    return inputs


@pytest.mark.parametrize("without", ["i.{run}.s.1.>", "$JS.API.CONSUMER.MSG.NEXT.", "$JS.ACK.", "i.{run}.m.1.0"])
def test_what_is_refused_is_an_error_at_once(tmp_path, monkeypatch, without):
    def fewer(plan):
        made = all_permissions(plan)
        start = without.format(run=plan.run)
        own = made["1.0"]
        publish = tuple(subject for subject in own.publish if not subject.startswith(start))
        tell = tuple(subject for subject in own.tell if not subject.startswith(start))
        upstream = replace(made["0.0"], hear=tuple(pair for pair in made["0.0"].hear if not pair[1].startswith(start)))
        return made | {"0.0": upstream, "1.0": replace(own, publish=publish, tell=tell)}

    monkeypatch.setattr(delivery_harness.backends, "all_permissions", fewer)
    nodes = {"s": source(numbers(10)), "m": node(forward), "k": sink(Collected())}
    made = Flow(lambda plan: NatsBackend(plan, tmp_path), tmp_path, nodes, ["s > m", "m > k"])
    try:
        made.start_all(but=("k",))
        middle = next(running for running in made.running if running.operator.key == "m")
        middle.join()
        assert isinstance(middle.error, TransportError)
        assert "does not allow this user that" in str(middle.error)
        assert without.format(run=made.plan.run).rstrip(">").lower() in str(middle.error)
    finally:
        made.close()

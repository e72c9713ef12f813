from __future__ import annotations

import pytest

from interactem.runtime import BytesMessage, Context, operator
from interactem.runtime.assignment import Assignment, Input, Output
from interactem.runtime.errors import StateError
from interactem.runtime.ids import file
from interactem.runtime.kernels import KERNEL
from interactem.runtime.replica import Replica
from interactem.runtime.transports import Store
from interactem.runtime.transports.memory import MemoryBroker
from interactem.runtime.wire import encode, pack


@operator
def count(inputs, parameters, context):
    context.state["count"] = context.state.get("count", 0) + 1


def replica(outputs, partitions, replicas):
    before = Assignment("run", 0, "before", outputs=(Output("out", 0, partitions, (0,), (1,)),))
    assignment = Assignment(
        "run", 1, "count", replicas=replicas, inputs=(Input(0, "in", 0, partitions),), outputs=outputs
    )
    broker = MemoryBroker([before, assignment])
    with broker.changed:
        broker.store(Store(broker.names.messages(0, 0), encode([pack(BytesMessage(), *file("before.0"))]), wire=True))
    context = Context("count", replicas=replicas)
    return Replica(assignment, getattr(count, KERNEL), broker.connect(assignment, 0), context, parameters={}), context


def test_replicas_that_share_their_input_have_no_state():
    started, _ = replica((Output("out", 1),), 1, 2)
    with pytest.raises(StateError, match=r"count uses context\.state, but has 2 replicas"):
        started.run()


@pytest.mark.parametrize(("outputs", "partitions", "replicas"), [((Output("out", 1),), 1, 1), ((), 2, 2)])
def test_one_replica_or_each_its_own_part_has(outputs, partitions, replicas):
    started, context = replica(outputs, partitions, replicas)
    assert not context.shared_input
    assert started is not None

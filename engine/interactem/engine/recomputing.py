"""After the loss of shared memory: everything that was in it is computed once more, from the sources.

The sources begin at their beginning, and send everything again under the ids that it had. Whoever has an effect drops
what it has seen. References to what is gone are dropped by their readers. That is possible while only sources have come
to their end, and when all of them can be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from interactem.engine import streams
from interactem.engine.errors import EngineError
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime import checkpoint as checkpoints
from interactem.runtime.checkpoint import Checkpoint
from interactem.runtime.connections import Storer
from interactem.runtime.transports import Store


class LostMemoryError(EngineError):
    """What was in shared memory is gone, and cannot be computed again."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"what was in shared memory is gone, and cannot be computed again: {reason}; start a new run, with "
            "--no-shm where messages must outlast a restart of the machine"
        )


async def recompute(storer: Storer, plan: Plan, record: Callable[..., None]) -> None:
    """Have everything computed again. Raises `LostMemoryError`; then nothing was changed."""
    names = plan.names
    controls = await streams.controls(storer, plan)
    kinds = [names.record("*", "*", kind) for kind in ("checkpoint", "replayable")]
    records = await storer.last(names.record_stream, kinds)
    sources = [operator for operator in plan.operators if operator.assignment.is_source]
    for operator in plan.operators:
        if not operator.assignment.is_source and names.control(operator.index, "finish") in controls:
            raise LostMemoryError(f"{operator.key} had come to its end already")
    for operator in sources:
        _check(plan, operator, records)
    for operator in sources:
        for replica in range(operator.replicas):
            subject = names.record(operator.index, replica, "checkpoint")
            if subject in records:
                epoch = checkpoints.decode(records[subject]).epoch
                encoded = checkpoints.encode(Checkpoint(epoch=epoch, resumes=True), checkpoints.encode_state({}))
                await storer.store(Store(subject, encoded))
            await streams.purge(storer, names.record_stream, names.record(operator.index, replica, "finished"))
    for operator in plan.operators:
        if operator.assignment.inputs:
            await storer.store(Store(names.control(operator.index, "recomputed"), b"{}"))
    record("shm", reason="what was in shared memory is gone: everything is computed again, from the sources")


def _check(plan: Plan, operator: PlannedOperator, records: Mapping[str, Any]) -> None:
    names = plan.names
    for replica in range(operator.replicas):
        begun = names.record(operator.index, replica, "checkpoint") in records
        if begun and names.record(operator.index, replica, "replayable") not in records:
            raise LostMemoryError(f"the source {operator.key} cannot be run again from its beginning")

"""What each replica may do in the run's broker: pure functions from the plan.

Replicas share the host's network, so that any of them can reach the broker: what one may do there is told by its user.
A user's permissions alone would not hold it: whatever it may ask the broker, it may have answered to any subject, also
to one that somebody else's stream stores. So each replica has an account of its own, with nothing in it but what is
imported from the run's; answers come back into that account, where no stream listens.

In the run's account are all streams, and the supervisor. An import is a subset of something exported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime.assignment import Input, Output
from interactem.runtime.subjects import Names
from interactem.runtime.transports.pulling import HEARTBEAT

# the broker keeps where answers go to until this long after the last one, and a pull that waits has heartbeats
_MANY_ANSWERS = {"response": "stream", "threshold": f"{3 * HEARTBEAT:g}s"}
EXPORTS: tuple[dict[str, Any], ...] = (
    {"service": "i.>"},
    {"service": "$JS.ACK.>"},
    {"service": "$JS.API.CONSUMER.MSG.NEXT.>", **_MANY_ANSWERS},
    {"service": "$JS.API.CONSUMER.INFO.>"},
    {"service": "$JS.API.DIRECT.GET.*", **_MANY_ANSWERS},
    {"service": "$JS.API.DIRECT.GET.*.>"},
    {"stream": "i.>"},
)
"""What the run's account offers to the others. Only what they import of it can be used, and nobody can add imports."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a replica may use, as subjects with wildcards. Nothing else exists for it.

    It may `publish` into the run's account, and `subscribe` to what is said there. What it may `tell` is heard by the
    supervisor, and by the users that may `hear` it, given here with the names of those that tell it: what comes into
    the run's account by an import does not go out again by another. What it may `ask` has a name of its own in its
    account, given here behind the run's: by the run's name, the server answers for the replica's account.
    """

    publish: tuple[str, ...]
    tell: tuple[str, ...]
    subscribe: tuple[str, ...]
    hear: tuple[tuple[str, str], ...]
    ask: tuple[tuple[str, str], ...] = ()


def user_name(operator: int, replica: int) -> str:
    """The name of a replica's user, of its account, and of the file with its secret."""
    return f"{operator}.{replica}"


def all_permissions(plan: Plan) -> dict[str, Permissions]:
    """The permissions of every replica of the plan, by the names of their users."""
    return {
        user_name(operator.index, replica): permissions(plan, operator, replica)
        for operator in plan.operators
        for replica in range(operator.replicas)
    }


def permissions(plan: Plan, operator: PlannedOperator, replica: int) -> Permissions:
    names, own = plan.names, operator.index
    publish = [
        f"$JS.API.DIRECT.GET.{names.control_stream(own)}",
        f"$JS.API.DIRECT.GET.{names.record_stream}.{names.record(own, replica, '*')}",
        f"$JS.API.DIRECT.GET.{names.blob_stream}.{names.piece(own, replica, '*', '*')}",
        names.record(own, replica, "*"),
        names.piece(own, replica, "*", "*"),
        names.events(own, replica),
    ]
    sides = [names.piece(side.operator, 0, "*", "*") for side in operator.assignment.side_inputs]
    publish += [f"$JS.API.DIRECT.GET.{names.blob_stream}.{pieces}" for pieces in sides]
    for entry in operator.assignment.inputs:
        publish += _reading(names, operator, entry, entry.partition(replica))
    for output in operator.assignment.outputs:
        if output.edges:
            publish += _writing(names, output)
    hear = [
        (user_name(reader.index, number), names.report(reader.index, number))
        for reader in plan.downstream(operator)
        for number in range(reader.replicas)
    ]
    tell = [names.report(own, replica), names.answers(own, replica)]
    # who is done with which block of shared memory
    tell += [names.released(entry.edge, replica) for entry in operator.assignment.inputs if entry.shm]
    for edge in [edge for output in operator.assignment.outputs if output.shm for edge in output.edges]:
        reader, _ = plan.reader(edge)
        hear += [(user_name(reader.index, n), names.released(edge, n)) for n in range(reader.replicas)]
    ask = [pair for output in operator.assignment.outputs if output.shm for pair in _asking(names, output)]
    for entry in operator.assignment.inputs:
        if entry.ordered:
            part = entry.partition(replica)
            ask.append((names.consumer_info(entry.stream, entry.edge, part), names.own_consumer_info(entry.edge, part)))
    hearing = names.control(own, ">"), names.pokes(own)
    return Permissions(tuple(publish), tuple(tell), hearing, tuple(hear), tuple(ask))


def _reading(names: Names, operator: PlannedOperator, entry: Input, part: int) -> Iterator[str]:
    for stream, consumer in _consumers(names, operator, entry, part):
        yield f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        yield f"$JS.ACK.{stream}.{consumer}.>"
    yield names.retry(entry.edge, part)
    yield names.dead(entry.edge, "*")
    # whoever has read a blob removes it, by storing nothing in its place
    yield names.blob(entry.edge, "*", "*")
    yield f"$JS.API.DIRECT.GET.{names.blob_stream}.{names.blob(entry.edge, '*', '*')}"


def _writing(names: Names, output: Output) -> Iterator[str]:
    yield names.messages(output.stream, ">")
    for edge in output.edges:
        yield names.blob(edge, "*", "*")


def _asking(names: Names, output: Output) -> Iterator[tuple[str, str]]:
    """How far the readers are, which is asked without saying anything."""
    for edge, parts in zip(output.edges, output.edge_partitions, strict=True):
        for part in range(parts):
            yield names.consumer_info(output.stream, edge, part), names.own_consumer_info(edge, part)


def _consumers(names: Names, operator: PlannedOperator, entry: Input, part: int) -> tuple[tuple[str, str], ...]:
    consumer = names.consumer(entry.edge, part)
    return (names.stream(entry.stream), consumer), (names.retry_stream(operator.index), consumer)


def is_own_delivery(plan: Plan, operator: PlannedOperator, replica: int, reply: str) -> bool:
    """Whether `reply` is the subject that a delivery to this replica is settled by.

    The supervisor hands back what a dead replica held by what the replica itself has noted of it.
    """
    own = [
        f"$JS.ACK.{stream}.{consumer}."
        for entry in operator.assignment.inputs
        for stream, consumer in _consumers(plan.names, operator, entry, entry.partition(replica))
    ]
    return reply.startswith(tuple(own)) and reply.isascii() and reply.isprintable() and " " not in reply

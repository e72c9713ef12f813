"""The plan of a run: which replicas, streams and consumers there will be. Pure functions over values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from interactem.runtime.assignment import Assignment, Input, Output, SideInput
from interactem.runtime.routing import Route, Routing
from interactem.runtime.subjects import Names
from interactem.runtime.transports import MOST_HELD_IN_ORDER
from interactem.spec import Graph, OperatorSpec, PipelineEdge, Resources

MEBIBYTE = 2**20
ACK_WAIT = 5.0
DEFAULT_ATTEMPTS = 3
_STREAM_MOST = 512 * MEBIBYTE
"""What waits in one stream at most: more is no use to anyone, as the sender waits then."""
_PARTS = 20
"""Into so many parts the store is divided; one of them is nobody's."""
_KEPT_PARTS = 4
"""One of so many parts of an arena may be kept by kernels, all of them together."""
_MESSAGES_AT_LEAST = 4
"""So many of the largest messages fit into the smallest stream."""


LauncherName = Literal["process", "podman", "docker"]


@dataclass(frozen=True, slots=True)
class PinnedImage:
    """What an operator is run from: the image's name in the spec, and which one that was at the time."""

    name: str
    id: str
    digest: str = ""
    """What its registry knows it by; empty for one that was never in a registry."""


@dataclass(frozen=True, slots=True)
class PlannedOperator:
    """An operator's part in the run. `parameters` are the kernel's; `mounts` map names to paths of the host.

    `writable` are the names of the mounts that may be written to. `connections` has the names of connections by
    parameter; their values are never in a plan.
    """

    key: str
    operator: str
    folder: str
    assignment: Assignment
    parameters: dict[str, Any] = field(default_factory=dict)
    mounts: dict[str, str] = field(default_factory=dict)
    writable: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    connections: dict[str, str] = field(default_factory=dict)

    @property
    def index(self) -> int:
        return self.assignment.operator

    @property
    def replicas(self) -> int:
        return self.assignment.replicas


@dataclass(frozen=True, slots=True)
class Plan:
    run: str
    name: str
    durability: str
    operators: tuple[PlannedOperator, ...]
    specs: dict[str, dict[str, Any]]
    """The specs of the operators, by their names in the catalog: what live parameters are checked against."""
    launcher: LauncherName = "process"
    images: dict[str, PinnedImage] = field(default_factory=dict)
    """Of the operators that run in containers, by their names in the catalog."""
    connections: str = ""
    """The file with the values of connections, if there is one."""
    no_shm: str = ""
    """Why there is no shared memory."""
    path_rules: str = ""
    """Path mapping rules as JSON, for kernels that map paths themselves; mounts are mapped already."""

    @property
    def in_containers(self) -> bool:
        return self.launcher != "process"

    @property
    def names(self) -> Names:
        return Names(self.run)

    def operator(self, key: str) -> PlannedOperator:
        """Raises `KeyError`."""
        return {operator.key: operator for operator in self.operators}[key]

    def reader(self, edge: int) -> tuple[PlannedOperator, Input]:
        """The operator that an edge ends at, and its input there. Raises `KeyError`."""
        for operator in self.operators:
            for entry in operator.assignment.inputs:
                if entry.edge == edge:
                    return operator, entry
        raise KeyError(edge)

    def upstream(self, operator: PlannedOperator) -> tuple[PlannedOperator, ...]:
        streams = {entry.stream for entry in operator.assignment.inputs}
        return tuple(o for o in self.operators if any(out.stream in streams for out in o.assignment.outputs))

    def downstream(self, operator: PlannedOperator) -> tuple[PlannedOperator, ...]:
        readers = {reader for output in operator.assignment.outputs for reader in output.readers}
        return tuple(self.operators[reader] for reader in sorted(readers))

    def below(self, indexes: set[int]) -> set[int]:
        """These operators and all that is downstream of them."""
        reached = set(indexes)
        for operator in self.operators:  # in the graph's order
            if operator.index in reached:
                reached |= {after.index for after in self.downstream(operator)}
        return reached

    def to_value(self) -> dict[str, Any]:
        value = asdict(self)
        for operator, planned in zip(value["operators"], self.operators, strict=True):
            operator["assignment"] = planned.assignment.to_value()
            operator["resources"] = planned.resources.model_dump(exclude_none=True)
        return value

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> Plan:
        """Raises `ValueError` for a value that is not what `to_value` gives."""
        try:
            return cls._of(value)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{error!r:.200}") from error

    @classmethod
    def _of(cls, value: Mapping[str, Any]) -> Plan:
        return cls(
            value["run"],
            value["name"],
            value["durability"],
            tuple(map(_planned_operator, value["operators"])),
            dict(value["specs"]),
            value.get("launcher", "process"),
            {name: PinnedImage(**image) for name, image in value.get("images", {}).items()},
            value.get("connections", ""),
            value.get("no_shm", ""),
            value.get("path_rules", ""),
        )


def _planned_operator(value: Mapping[str, Any]) -> PlannedOperator:
    typed = {
        "assignment": Assignment.from_value(value["assignment"]),
        "writable": tuple(value.get("writable", ())),
        "resources": Resources.model_validate(value.get("resources", {})),
    }
    return PlannedOperator(**{**value, **typed})


def make_plan(
    graph: Graph,
    run: str,
    folders: Mapping[str, Path],
    *,
    max_payload: int,
    max_message: int,
    max_state: int = 2**30,
    arena: int = 0,
) -> Plan:
    """The plan of a checked graph. `folders` has the folder of each operator that is not named by its image.

    `arena` is the size of each sending replica's shared memory; 0 for none.
    """
    order = graph.order
    index_of = {key: index for index, key in enumerate(order)}
    streams: dict[tuple[str, str], int] = {}
    for key in order:
        for port in graph.spec(key).outputs:
            streams[key, port.name] = len(streams)
    edge_of = {str(edge): number for number, edge in enumerate(graph.edges)}
    operators = []
    for key in order:
        spec = graph.spec(key)
        inputs = tuple(
            Input(
                edge_of[str(edge)],
                edge.target.port,
                streams[edge.source.operator, edge.source.port],
                _partitions(graph, edge),
                arena > 0,
                index_of[edge.source.operator],
                graph.operators[edge.source.operator].replicas,
                edge.key is not None,
                origins=_origins(graph, edge.source.operator),
                ordered=edge.ordered,
                key=_key(edge),
            )
            for edge in graph.incoming(key)
        )
        outputs = tuple(
            Output(
                port.name,
                streams[key, port.name],
                _stream_partitions(graph, key, port.name),
                tuple(edge_of[str(edge)] for edge in graph.outgoing(key, port.name)),
                tuple(sorted({index_of[edge.target.operator] for edge in graph.outgoing(key, port.name)})),
                tuple(_partitions(graph, edge) for edge in graph.outgoing(key, port.name)),
                arena > 0 and bool(graph.outgoing(key, port.name)),
                fallback=port.fallback,
                routes=tuple(_route(edge_of[str(e)], e) for e in graph.outgoing(key, port.name) if e.when or e.key),
                ordered=tuple(edge_of[str(e)] for e in graph.outgoing(key, port.name) if e.ordered),
            )
            for port in spec.outputs
        )
        attempts = graph.max_attempts(key)
        assignment = Assignment(
            run=run,
            operator=index_of[key],
            name=key,
            replicas=graph.operators[key].replicas,
            inputs=inputs,
            outputs=outputs,
            timeout=graph.timeout(key),
            max_attempts=DEFAULT_ATTEMPTS if attempts is None else attempts,
            max_payload=max_payload,
            max_message=max_message,
            max_state=max_state,
            ack_wait=ACK_WAIT,
            arena=_arena_of(graph, key, arena) if any(output.shm for output in outputs) else 0,
            most_kept=_most_kept(graph, key, arena),
            every=None if spec.side_input is None else spec.side_input.every,
            side_inputs=tuple(_side_inputs(graph, key, index_of)),
        )
        parameters, mounts = split_mounts(spec, graph.parameters(key))
        connections = connections_named(spec, parameters)
        parameters = {name: value for name, value in parameters.items() if name not in connections}
        name = graph.operators[key].operator
        writable = tuple(p.name for p in spec.parameters if p.type == "mount" and p.writable and p.name in mounts)
        folder, resources = str(folders.get(name, "")), graph.resources(key)
        operators.append(
            PlannedOperator(key, name, folder, assignment, parameters, mounts, writable, resources, connections)
        )
    specs = {op.operator: graph.spec(op.key).model_dump(mode="json", exclude_none=True) for op in operators}
    return Plan(run, graph.pipeline.name, graph.pipeline.durability, tuple(operators), specs)


def _side_inputs(graph: Graph, key: str, index_of: Mapping[str, int]) -> Iterator[SideInput]:
    named = graph.operators[key].side_inputs
    for entry in graph.spec(key).side_inputs:
        if entry.name in named:
            giver = named[entry.name]
            yield SideInput(entry.name, index_of[giver], giver, entry.wait)


def split_mounts(spec: OperatorSpec, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters that the kernel is given, and the mounts that it sees as files."""
    mounts = {p.name for p in spec.parameters if p.type == "mount"}
    given = {name: value for name, value in parameters.items() if name not in mounts}
    return given, {name: str(value) for name, value in parameters.items() if name in mounts}


def connections_named(spec: OperatorSpec, parameters: Mapping[str, Any]) -> dict[str, str]:
    """The names of connections among an operator's parameters."""
    names = [p.name for p in spec.parameters if p.type == "connection" and p.name in parameters]
    return {name: str(parameters[name]) for name in names}


def _partitions(graph: Graph, edge: PipelineEdge) -> int:
    """Equal keys must come to the same replica.

    So must the same message each time where it is a sink's, which remembers what it has written.
    """
    key = edge.target.operator
    return graph.operators[key].replicas if edge.key is not None or graph.spec(key).is_sink else 1


def _route(number: int, edge: PipelineEdge) -> Route:
    """What the edge of this number says beside its ports."""
    rules = edge.when.rules if edge.when is not None else ()
    return Route(number, str(edge), rules, _key(edge))


def _key(edge: PipelineEdge) -> tuple[str, ...]:
    return () if edge.key is None else tuple(edge.key.split(".")[1:])


def _origins(graph: Graph, key: str) -> tuple[str, ...]:
    """The replicas of the sources that an operator's messages began in."""
    found, waiting = set[str](), [key]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [edge.source.operator for edge in graph.incoming(one)]
    sources = sorted(one for one in found if not graph.incoming(one))
    return tuple(f"{one}~{replica}" for one in sources for replica in range(graph.operators[one].replicas))


def _arena_of(graph: Graph, key: str, most: int) -> int:
    """An operator's arena is no larger than its limit of memory, which is raised by it."""
    limit = graph.resources(key).memory
    return most if limit is None else min(most, limit // MEBIBYTE * MEBIBYTE)


def _most_kept(graph: Graph, key: str, arena: int) -> int:
    """What a kernel may keep of the arenas that it reads from: of the smallest of them its part."""
    smallest = min((_arena_of(graph, edge.source.operator, arena) for edge in graph.incoming(key)), default=0)
    return smallest // (_KEPT_PARTS * _most_readers(graph))


def _most_readers(graph: Graph) -> int:
    """How many replicas read from one operator, at most: what each may keep of its arena depends on it."""
    readers = [
        sum(graph.operators[edge.target.operator].replicas for edge in graph.outgoing(key)) for key in graph.order
    ]
    return max(readers, default=1) or 1


def senders(graph: Graph) -> int:
    """How many replicas have somebody to send to."""
    return sum(graph.operators[key].replicas for key in graph.order if graph.outgoing(key))


def _stream_partitions(graph: Graph, key: str, port: str) -> int:
    """By ids, so many that each edge's partitions are whole numbers of them: the least common multiple."""
    return math.lcm(*(_partitions(graph, edge) for edge in graph.outgoing(key, port) if edge.key is None), 1)


@dataclass(frozen=True, slots=True)
class Consumer:
    """A durable consumer of an edge (and partition), of its messages or of those to be tried again."""

    operator: int
    edge: int
    stream: str
    config: dict[str, Any]
    retry: bool = False

    @property
    def name(self) -> str:
        return str(self.config["durable_name"])


def largest_payload(graph: Graph, store_bytes: int) -> int:
    """What one NATS message may hold, so that several fit into each of the run's streams. More travels in pieces."""
    outputs = sum(len(graph.outgoing(key, port.name)) > 0 for key in graph.order for port in graph.spec(key).outputs)
    readers = sum(len(graph.incoming(key)) > 0 for key in graph.order)
    part = store_bytes // _PARTS
    return min(2 * part // max(1, readers), 8 * part // max(1, outputs)) // _MESSAGES_AT_LEAST


def largest_state(store_bytes: int) -> int:
    """What one replica may keep: it shares a stream with blobs, and is there twice while it is put together anew."""
    return 4 * (store_bytes // _PARTS) // 3


def stream_configs(plan: Plan, store_bytes: int) -> list[dict[str, Any]]:
    """The run's streams. Together they hold at most `store_bytes`, and each refuses what is over its part."""
    names = plan.names
    outputs = [output for operator in plan.operators for output in operator.assignment.outputs if output.edges]
    part = store_bytes // _PARTS
    each = min(_STREAM_MOST, 8 * part // max(1, len(outputs)))
    interest = {"retention": "interest"}
    messages = [_stream(names.stream(o.stream), [names.messages(o.stream, ">")], each) | interest for o in outputs]
    readers = [operator for operator in plan.operators if operator.assignment.inputs]
    retries = [_retry_stream(names, operator, 2 * part // len(readers)) | interest for operator in readers]
    latest = {"retention": "limits", "max_msgs_per_subject": 1, "allow_direct": True}
    indexes = [operator.index for operator in plan.operators]
    controls = [
        _stream(names.control_stream(i), [names.control(i, ">")], part // len(indexes)) | latest for i in indexes
    ]
    dead = _stream(names.dead_stream, [names.dead("*", "*")], 2 * part) | latest
    # what is stored in a blob's place to remove it ends by itself
    blobs = _stream(names.blob_stream, [names.blob("*", "*", "*"), names.piece("*", "*", "*", "*")], 4 * part)
    blobs |= {**latest, "allow_msg_ttl": True}
    records = _stream(names.record_stream, [names.record("*", "*", "*")], 2 * part) | latest
    return [*messages, *retries, *controls, dead, blobs, records]


def _retry_stream(names: Names, operator: PlannedOperator, max_bytes: int) -> dict[str, Any]:
    subjects = [names.retry(entry.edge, "*") for entry in operator.assignment.inputs]
    return _stream(names.retry_stream(operator.index), subjects, max_bytes)


def _stream(name: str, subjects: list[str], max_bytes: int) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": subjects,
        "storage": "file",
        "discard": "new",
        "max_bytes": max_bytes,
        "max_consumers": -1,
        "max_msgs": -1,
        "num_replicas": 1,
        "duplicate_window": 120_000_000_000,
    }


def consumers(plan: Plan) -> list[Consumer]:
    """Every edge's consumers, all of which exist before any producer starts."""
    found: list[Consumer] = []
    routings = {o.stream: Routing(o) for operator in plan.operators for o in operator.assignment.outputs}
    for operator in plan.operators:
        for entry in operator.assignment.inputs:
            for part in range(entry.partitions):
                lanes = routings[entry.stream].filters(entry.edge, part, entry.partitions)
                name = plan.names.consumer(entry.edge, part)
                subjects = [plan.names.messages(entry.stream, lane) for lane in lanes]
                config = _consumer(name, subjects, operator.assignment.ack_wait)
                if entry.ordered:
                    config["max_ack_pending"] = MOST_HELD_IN_ORDER
                found.append(Consumer(operator.index, entry.edge, plan.names.stream(entry.stream), config))
                again = _consumer(name, [plan.names.retry(entry.edge, part)], operator.assignment.ack_wait)
                retries = plan.names.retry_stream(operator.index)
                found.append(Consumer(operator.index, entry.edge, retries, again, retry=True))
    return found


def _consumer(name: str, subjects: list[str], ack_wait: float) -> dict[str, Any]:
    return {
        "durable_name": name,
        "name": name,
        "ack_policy": "explicit",
        "ack_wait": int(ack_wait * 1e9),
        "deliver_policy": "all",
        "filter_subjects": subjects,
        "max_ack_pending": 8192,
        "max_deliver": -1,
        "max_waiting": 512,
        "replay_policy": "instant",
    }

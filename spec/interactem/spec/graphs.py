"""The graph that a pipeline and its operators' specs make, and the rules that it keeps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from typing import Literal

from interactem.spec.errors import Problem, SpecError
from interactem.spec.operators import (
    ANY_TYPE,
    OperatorSpec,
    OperatorSpecNamedSideInput,
    OperatorSpecPort,
    resolve_parameters,
)
from interactem.spec.pipelines import PipelineEdge, PipelineOperator, PipelineSpec, PortReference, operator_path
from interactem.spec.resources import Resources
from interactem.spec.values import Value
from interactem.spec.wording import join_path, listing, nearest, suggest

MOST_LANES = 1_024
"""In so many ways the edges of one port may divide its messages: what travels together gets smaller with each."""


class Graph:
    """A pipeline joined with the specs of its operators.

    `catalog` maps operators' names to their specs; it may hold more than the pipeline uses. `source` names the
    pipeline's file in problems. Making a graph checks nothing: call `check()` first, as the other methods rely on
    it, except `problems`, `edges`, `incoming`, `outgoing`, `upstream`, `downstream`, `sources` and `sinks`.
    """

    def __init__(self, pipeline: PipelineSpec, catalog: Mapping[str, OperatorSpec], *, source: str = "") -> None:
        self.pipeline = pipeline
        self.catalog = catalog
        self.source = source

    def check(self) -> Graph:
        """Raises `SpecError` with every problem; returns the graph itself where there is none."""
        found = self.problems()
        if found:
            raise SpecError(found)
        return self

    def problems(self) -> list[Problem]:
        """Everything that is wrong, in the order of the file: operators, then edges, then the graph as a whole."""
        return [*self._operator_problems(), *self._edge_problems(), *self._input_problems(), *self._cycle_problems()]

    # what is in it

    @property
    def operators(self) -> dict[str, PipelineOperator]:
        return self.pipeline.operators

    @property
    def edges(self) -> tuple[PipelineEdge, ...]:
        return self.pipeline.edges

    def spec(self, key: str) -> OperatorSpec:
        """The spec of the operator that the pipeline calls `key`."""
        return self.catalog[self.operators[key].operator]

    def parameters(self, key: str) -> dict[str, Value]:
        """Its parameters' values, typed, defaults and mounts included. Raises `SpecError`."""
        path = operator_path(key, "parameters")
        return resolve_parameters(self.spec(key), self.operators[key].parameters, source=self.source, path=path)

    def timeout(self, key: str) -> float | None:
        """How long one call of its kernel may take, in seconds: what the pipeline says, else the spec."""
        here = self.operators[key].timeout
        return self.spec(key).timeout if here is None else here

    def max_attempts(self, key: str) -> int | None:
        """After how many failed attempts a message is a dead letter (0: never), None where nobody says."""
        here = self.operators[key].max_attempts
        return self.spec(key).max_attempts if here is None else here

    def resources(self, key: str) -> Resources:
        """The most that one of its replicas may have: what the pipeline says, else the spec, each for itself."""
        return (self.operators[key].resources or Resources()).over(self.spec(key).resources)

    # how it is connected

    def incoming(self, key: str, port: str | None = None) -> tuple[PipelineEdge, ...]:
        """The edges to an operator, or to one of its inputs."""
        return tuple(e for e in self.edges if e.target.operator == key and port in (None, e.target.port))

    def outgoing(self, key: str, port: str | None = None) -> tuple[PipelineEdge, ...]:
        """The edges from an operator, or from one of its outputs."""
        return tuple(e for e in self.edges if e.source.operator == key and port in (None, e.source.port))

    def upstream(self, key: str) -> tuple[str, ...]:
        """The operators with an edge to this one, each once."""
        return tuple(dict.fromkeys(edge.source.operator for edge in self.incoming(key)))

    def downstream(self, key: str) -> tuple[str, ...]:
        """The operators with an edge from this one, each once."""
        return tuple(dict.fromkeys(edge.target.operator for edge in self.outgoing(key)))

    @property
    def sources(self) -> tuple[str, ...]:
        """The operators that no edge leads to."""
        targets = {edge.target.operator for edge in self.edges}
        return tuple(key for key in self.operators if key not in targets)

    @property
    def sinks(self) -> tuple[str, ...]:
        """The operators that no edge leaves."""
        origins = {edge.source.operator for edge in self.edges}
        return tuple(key for key in self.operators if key not in origins)

    @cached_property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """The operators by their longest way from a source; edges only lead to later layers.

        Operators on a cycle, and behind one, are in no layer.
        """
        waiting = {key: set(self.upstream(key)) & set(self.operators) for key in self.operators}
        layers: list[tuple[str, ...]] = []
        while ready := tuple(key for key, before in waiting.items() if not before):
            layers.append(ready)
            for key in ready:
                del waiting[key]
            for before in waiting.values():
                before.difference_update(ready)
        return tuple(layers)

    @property
    def order(self) -> tuple[str, ...]:
        """The operators, each behind all that it gets messages from."""
        return tuple(key for layer in self.layers for key in layer)

    # what can be wrong

    def _problem(self, path: str, message: str, hint: str = "") -> Problem:
        return Problem(self.source, path, message, hint)

    def _operator_problems(self) -> Iterator[Problem]:
        for key, operator in self.operators.items():
            spec = self.catalog.get(operator.operator)
            if spec is None:
                yield self._unknown(key, operator)
                continue
            try:
                self.parameters(key)
            except SpecError as error:
                yield from error.problems
            yield from self._side_input_problems(key, spec)
            if operator.replicas > 1 and spec.side_input is not None:
                hint = "set 1: it gives the same value to all"
                yield self._problem(operator_path(key, "replicas"), "a side input has one replica", hint)
            elif operator.replicas > 1 and not spec.embarrassing and not self._all_keyed(key):
                message = f"{operator.replicas} replicas, but nothing says that {operator.operator!r} may have several"
                hint = 'set 1, or add "parallel_config": {"type": "embarrassing"} to its operator.json'
                hint += ', or a "key" to each edge that leads to it' if self.incoming(key) else ""
                yield self._problem(operator_path(key, "replicas"), message, hint)

    def _all_keyed(self, key: str) -> bool:
        """Whether each of its replicas has messages of its own."""
        incoming = self.incoming(key)
        return bool(incoming) and all(edge.key is not None for edge in incoming)

    def _side_input_problems(self, key: str, spec: OperatorSpec) -> Iterator[Problem]:
        named = self.operators[key].side_inputs
        for side in spec.side_inputs:
            if side.required and side.name not in named:
                message = f"nothing says which operator its side input {side.name!r} (type {side.type!r}) is"
                yield self._problem(operator_path(key), message, f'add "side_inputs": {{"{side.name}": "…"}}')
        known = [entry.name for entry in spec.side_inputs]
        for name, giver in named.items():
            path = operator_path(key, "side_inputs", name)
            entry = spec.named_side_input(name)
            if entry is None:
                hint = suggest(name, known, "side inputs")
                yield self._problem(path, f"{key!r} declares no side input {name!r}", hint)
            elif giver not in self.operators:
                hint = suggest(giver, self.operators, "operators")
                yield self._problem(path, f"the pipeline has no operator {giver!r}", hint)
            elif (other := self.catalog.get(self.operators[giver].operator)) is not None:
                yield from self._giver_problems(path, entry, giver, other)

    def _giver_problems(
        self, path: str, entry: OperatorSpecNamedSideInput, giver: str, spec: OperatorSpec
    ) -> Iterator[Problem]:
        if spec.side_input is None:
            hint = 'name an operator whose operator.json has "side_input"'
            yield self._problem(path, f"{giver!r} is not a side input", hint)
        elif not fits(spec.side_input.type, entry.type):
            message = f"types differ: {giver!r} gives {spec.side_input.type!r}, this is {entry.type!r}"
            yield self._problem(path, message, f"name one of the same type (type {ANY_TYPE!r} fits all)")

    def _unknown(self, key: str, operator: PipelineOperator) -> Problem:
        if operator.image is not None:
            message = f"nothing is known of the operator in the image {operator.image}"
            hint = "its spec is in a label of it: give --launcher podman or --launcher docker"
            return self._problem(operator_path(key, "image"), message, hint)
        hint = suggest(operator.operator, sorted(self.catalog), "operators")
        return self._problem(operator_path(key, "operator"), f"there is no operator {operator.operator!r}", hint)

    def _edge_problems(self) -> Iterator[Problem]:
        seen: Counter[str] = Counter()
        for index, edge in enumerate(self.edges):
            path = join_path("$", "edges", index)
            seen[str(edge)] += 1
            if seen[str(edge)] == 2:
                yield self._problem(path, f"the edge {edge} is there twice", "remove one of them")
            source = yield from self._port(join_path(path, "from"), edge.source, "output")
            target = yield from self._port(join_path(path, "to"), edge.target, "input")
            if source and target and not fits(source.type, target.type):
                message = f"types differ: {edge.source} is {source.type!r}, {edge.target} is {target.type!r}"
                yield self._problem(path, message, f"join ports of one type (type {ANY_TYPE!r} fits all)")
            reader = self.operators.get(edge.target.operator)
            if edge.ordered and edge.key is None and reader is not None and reader.replicas > 1:
                message = f"{reader.replicas} replicas of {edge.target.operator!r} share what is to stay in order"
                hint = 'add a "key", which keeps its own order, or set 1 replica'
                yield self._problem(join_path(path, "ordered"), message, hint)
        yield from self._lane_problems()

    def _lane_problems(self) -> Iterator[Problem]:
        """Each way to divide a port's messages multiplies how many kinds of batches there are."""
        for source in dict.fromkeys(edge.source for edge in self.edges if edge.source.operator in self.operators):
            ways: dict[str | None, list[int]] = {}
            for edge in self.outgoing(*source):
                reader = self.operators.get(edge.target.operator)
                if reader is not None and (edge.key is not None or self._is_sink(edge.target.operator)):
                    ways.setdefault(edge.key, []).append(reader.replicas)
            lanes = math.prod(math.lcm(*counts) for counts in ways.values())
            if lanes > MOST_LANES:
                message = f"the edges from {source} divide its messages in {lanes:,} ways, more than {MOST_LANES:,}"
                hint = "give those that read from it equal numbers of replicas, and equal keys"
                yield self._problem("$.edges", message, hint)

    def _is_sink(self, key: str) -> bool:
        spec = self.catalog.get(self.operators[key].operator)
        return spec is not None and spec.is_sink

    def _port(
        self, path: str, reference: PortReference, direction: Literal["input", "output"]
    ) -> Generator[Problem, None, OperatorSpecPort | None]:
        """Yields what is wrong with a reference; returns the port, or None where it is not known."""
        key, name = reference
        if key not in self.operators:
            hint = suggest(key, self.operators, "operators")
            yield self._problem(path, f"the pipeline has no operator {key!r}", hint)
            return None
        spec = self.catalog.get(self.operators[key].operator)
        if spec is None:
            return None  # reported where the operator is named
        ports = spec.inputs if direction == "input" else spec.outputs
        port = next((port for port in ports if port.name == name), None)
        if port is None:
            known = [port.name for port in ports]
            near = nearest(name, known)
            hint = f"did you mean {near!r}? " if near else ""
            hint += f"its {direction}s: {listing(known)}"
            yield self._problem(path, f"{key!r} has no {direction} {name!r}", hint)
        return port

    def _input_problems(self) -> Iterator[Problem]:
        connected = {edge.target for edge in self.edges}
        for key, operator in self.operators.items():
            spec = self.catalog.get(operator.operator)
            for port in spec.inputs if spec else ():
                if port.required and PortReference(key, port.name) not in connected:
                    message = f"nothing is connected to its input {port.name!r} (type {port.type!r})"
                    yield self._problem(operator_path(key), message, f'add an edge to "{key}.{port.name}"')

    def _cycle_problems(self) -> Iterator[Problem]:
        for cycle in self._cycles():
            shown = " -> ".join([*cycle, cycle[0]])
            yield self._problem("$.edges", f"a cycle: {shown}", "remove one of its edges")

    def _cycles(self) -> Iterator[list[str]]:
        """Cycles without a common operator, at least one of each knot of them."""
        ahead = {key: {k for k in self.downstream(key) if k in self.operators} for key in self.operators}
        for key in self.order:
            del ahead[key]
        while _trim(ahead):
            walk = [next(iter(ahead))]
            while (following := min(ahead[walk[-1]])) not in walk:
                walk.append(following)
            cycle = walk[walk.index(following) :]
            yield cycle
            for key in cycle:
                del ahead[key]


def _trim(ahead: dict[str, set[str]]) -> dict[str, set[str]]:
    """Removes, until there is none, whatever leads nowhere: what is left is on a cycle or leads to one."""
    while True:
        for following in ahead.values():
            following.intersection_update(ahead)
        ends = [key for key, following in ahead.items() if not following]
        if not ends:
            return ahead
        for key in ends:
            del ahead[key]


def fits(output_type: str, input_type: str) -> bool:
    """Whether an edge may join ports of these types."""
    return output_type == input_type or ANY_TYPE in (output_type, input_type)

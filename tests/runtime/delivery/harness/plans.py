"""Plans of flows, whose kernels are plain functions of a test."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from delivery_harness.messages import WAIT, Collected

from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime.assignment import Assignment, Input, Output, SideInput
from interactem.runtime.routing import Route
from interactem.spec.routes import When


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
            Input(
                number,
                target[1],
                stream[begin],
                parts[number],
                keyed=keyed[number] is not None,
                ordered=said[number].get("ordered", False),
                key=_path(said[number]),
            )
            for number, (begin, target) in enumerate(parsed)
            if target[0] == name
        )
        outputs = []
        for port in nd.outputs:
            out = [(number, target[0]) for number, (begin, target) in enumerate(parsed) if begin == (name, port)]
            readers = tuple(sorted({index[reader] for _, reader in out}))
            numbers = tuple(number for number, _ in out)
            ways = math.lcm(*(parts[number] for number in numbers if not keyed[number]), 1)
            routing = [number for number in numbers if not said[number].keys().isdisjoint(("key", "when"))]
            routes = tuple(_route(number, edges[number], said[number]) for number in routing)
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
                    ordered=tuple(number for number in numbers if said[number].get("ordered")),
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
    return Route(number, name, when, _path(said))


def _path(said: dict[str, Any]) -> tuple[str, ...]:
    return tuple(said["key"].split(".")[1:]) if "key" in said else ()


def _port(text: str, default: str) -> tuple[str, str]:
    name, _, port = text.strip().partition(".")
    return name, port or default

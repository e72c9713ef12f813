"""A graph as text for a terminal, and as Mermaid. For SVG see `drawing`."""

from __future__ import annotations

from interactem.spec.graphs import Graph
from interactem.spec.operators import OperatorSpecPort
from interactem.spec.pipelines import PipelineEdge, PortReference


def printable(text: str) -> str:
    """The text without what a terminal would obey or XML forbids."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def layers_of(graph: Graph) -> list[tuple[str, ...]]:
    """The graph's layers; what is on a cycle or behind one comes last, so that a broken graph can be drawn too."""
    placed = {key for layer in graph.layers for key in layer}
    rest = tuple(key for key in graph.operators if key not in placed)
    return [*graph.layers, *([rest] if rest else [])]


def ports_of(graph: Graph, key: str) -> tuple[tuple[OperatorSpecPort, ...], tuple[OperatorSpecPort, ...]]:
    """The inputs and outputs of an operator; those that its edges name, of type `?`, where its spec is not known."""
    spec = graph.catalog.get(graph.operators[key].operator)
    if spec is not None:
        return spec.inputs, spec.outputs
    inputs = dict.fromkeys(edge.target.port for edge in graph.incoming(key))
    outputs = dict.fromkeys(edge.source.port for edge in graph.outgoing(key))
    return (
        tuple(OperatorSpecPort.model_construct(name=name, type="?") for name in inputs),
        tuple(OperatorSpecPort.model_construct(name=name, type="?") for name in outputs),
    )


def title_of(graph: Graph, key: str) -> str:
    """The operator that `key` is, with its number of replicas."""
    operator = graph.operators[key]
    return printable(operator.operator) + (f" x{operator.replicas}" if operator.replicas > 1 else "")


def to_text(graph: Graph) -> str:
    """The operators in the order of the stream, each with its ports and what they are connected to."""
    lines = [printable(graph.pipeline.name)]
    for number, layer in enumerate(layers_of(graph), start=1):
        for key in layer:
            lines += ["", f"{number}  {key} ({title_of(graph, key)})", *_port_lines(graph, key)]
    return "\n".join(lines) + "\n"


def _port_lines(graph: Graph, key: str) -> list[str]:
    inputs, outputs = ports_of(graph, key)
    rows = [(port, "←", [_far(edge, edge.source) for edge in graph.incoming(key, port.name)]) for port in inputs]
    rows += [(port, "→", [_far(edge, edge.target) for edge in graph.outgoing(key, port.name)]) for port in outputs]
    names = [f"{port.name} ({port.type})" for port, _, _ in rows]
    width = max(map(len, names), default=0)
    lines = [
        printable(f"     {arrow} {name.ljust(width)}  {', '.join(others) or 'not connected'}")
        for name, (_, arrow, others) in zip(names, rows, strict=True)
    ]
    return [*lines, *_side_lines(graph, key)]


def _side_lines(graph: Graph, key: str) -> list[str]:
    named = graph.operators[key].side_inputs.items()
    lines = [printable(f"     side input {name}  {giver}") for name, giver in named]
    readers = [reader for reader, operator in graph.operators.items() if key in operator.side_inputs.values()]
    return [*lines, *([printable(f"     side input of {', '.join(readers)}")] if readers else [])]


def _far(edge: PipelineEdge, end: PortReference) -> str:
    return f"{end} [{edge.route}]" if edge.route else str(end)


def to_mermaid(graph: Graph) -> str:
    """A Mermaid flow chart, from left to right. Operators are named n0, n1, … in it, as Mermaid reserves words."""
    names = {key: f"n{index}" for index, key in enumerate(graph.operators)}
    lines = ["flowchart LR"]
    lines += [f'  {name}["{_quoted(key)}<br/>{_quoted(title_of(graph, key))}"]' for key, name in names.items()]
    for edge in graph.edges:
        source, target = names.get(edge.source.operator), names.get(edge.target.operator)
        if source and target:
            said = f"{edge.source.port} → {edge.target.port}" + (f" [{edge.route}]" if edge.route else "")
            lines.append(f'  {source} -- "{_quoted(said)}" --> {target}')
    for key, operator in graph.operators.items():
        for name, giver in operator.side_inputs.items():
            if giver in names:
                lines.append(f'  {names[giver]} -. "{_quoted(name)}" .-> {names[key]}')
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Text inside the quotes of a Mermaid label: characters that mean something there by their numbers."""
    return "".join(f"#{ord(c)};" if c in '#"&<>`\\;' else c for c in printable(text))

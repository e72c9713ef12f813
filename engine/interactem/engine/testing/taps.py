"""What a test puts at the ends of a pipeline: messages for an input, and the messages of an output to look at. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping

from interactem.spec import OperatorSpec, PipelineSpec, parse_operator
from interactem.spec.pipelines import PipelineEdge, PipelineOperator, PortReference

GIVEN, TAKEN = "given-", "taken-"


def with_taps(
    pipeline: PipelineSpec, catalog: Mapping[str, OperatorSpec], given: Collection[str], collect: Iterable[str]
) -> tuple[PipelineSpec, dict[str, OperatorSpec]]:
    """The pipeline and the catalog with an operator more for each port: `given-0` and so on, `taken-0` and so on.

    What feeds an input that is `given` is taken away, with all that is there for nothing else. Raises `ValueError` for
    what is not `operator.port`.
    """
    specs = dict(catalog)
    fed = [PortReference.parse(port) for port in given]
    cut = [edge for edge in pipeline.edges if edge.target in fed]
    left = [edge for edge in pipeline.edges if edge not in cut]
    operators, edges = _without_cut_off(dict(pipeline.operators), left, cut)
    for number, reference in enumerate(fed):
        name = f"{GIVEN}{number}"
        specs[name] = _spec(name, outputs=True)
        operators[name] = PipelineOperator(operator=name)
        edges.append(PipelineEdge.between(f"{name}.out", reference))
    for number, port in enumerate(collect):
        name = f"{TAKEN}{number}"
        specs[name] = _spec(name, outputs=False)
        operators[name] = PipelineOperator(operator=name)
        edges.append(PipelineEdge.between(PortReference.parse(port), f"{name}.in"))
    return pipeline.model_copy(update={"operators": operators, "edges": tuple(edges)}), specs


def _without_cut_off(
    operators: dict[str, PipelineOperator], edges: list[PipelineEdge], cut: list[PipelineEdge]
) -> tuple[dict[str, PipelineOperator], list[PipelineEdge]]:
    """Without the operators that sent along the `cut` edges and send to nobody else, and those before them."""
    while cut:
        sending = {edge.source.operator for edge in edges}
        idle = {edge.source.operator for edge in cut} - sending
        operators = {key: operator for key, operator in operators.items() if key not in idle}
        cut = [edge for edge in edges if edge.target.operator in idle]
        edges = [edge for edge in edges if edge not in cut]
    return operators, edges


def _spec(name: str, *, outputs: bool) -> OperatorSpec:
    port = [{"name": "out" if outputs else "in", "type": "any"}]
    value = {"id": str(uuid.uuid4()), "label": name, "description": "", "image": name}
    return parse_operator({**value, "outputs" if outputs else "inputs": port}, name)

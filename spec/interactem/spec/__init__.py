"""Operators, parameters, pipelines and graphs: models and pure functions, without any I/O."""

from interactem.spec.catalogs import catalog_problems, operator_name
from interactem.spec.drawing import to_svg
from interactem.spec.errors import ParameterValueError, Problem, SpecError
from interactem.spec.graphs import Graph
from interactem.spec.imports import image_name, import_pipeline
from interactem.spec.operators import (
    OperatorSpec,
    OperatorSpecID,
    OperatorSpecInput,
    OperatorSpecOutput,
    OperatorSpecPort,
    OperatorSpecTag,
    OperatorSpecTrigger,
    ParallelConfig,
    resolve_parameters,
)
from interactem.spec.parameters import OperatorSpecParameter, coerce
from interactem.spec.parsing import parse_operator, parse_pipeline, read_json
from interactem.spec.pipelines import PipelineEdge, PipelineOperator, PipelineSpec, PortReference, parse_assignment
from interactem.spec.render import to_mermaid, to_text
from interactem.spec.resources import Resources
from interactem.spec.schemas import schema
from interactem.spec.values import Value

__all__ = [
    "Graph",
    "OperatorSpec",
    "OperatorSpecID",
    "OperatorSpecInput",
    "OperatorSpecOutput",
    "OperatorSpecParameter",
    "OperatorSpecPort",
    "OperatorSpecTag",
    "OperatorSpecTrigger",
    "ParallelConfig",
    "ParameterValueError",
    "PipelineEdge",
    "PipelineOperator",
    "PipelineSpec",
    "PortReference",
    "Problem",
    "Resources",
    "SpecError",
    "Value",
    "catalog_problems",
    "coerce",
    "image_name",
    "import_pipeline",
    "operator_name",
    "parse_assignment",
    "parse_operator",
    "parse_pipeline",
    "read_json",
    "resolve_parameters",
    "schema",
    "to_mermaid",
    "to_svg",
    "to_text",
]

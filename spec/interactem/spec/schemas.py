"""JSON Schemas of the two files, made from the models.

They accept all that parsing accepts. What a schema cannot say is left to parsing: names that are there twice, a default
that is one of the options, integers of more than 64 bits as text, and everything about the graph.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from interactem.spec.operators import OperatorSpec
from interactem.spec.pipelines import PipelineSpec

Kind = Literal["operator", "pipeline"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: dict[Kind, type[OperatorSpec] | type[PipelineSpec]] = {"operator": OperatorSpec, "pipeline": PipelineSpec}


def schema(kind: Kind) -> dict[str, Any]:
    """The schema of `operator.json` or of pipeline files; the same ships as `schemas/<kind>.schema.json`."""
    return {"$schema": _DIALECT, **_MODELS[kind].model_json_schema(mode="validation")}


def schema_text(kind: Kind) -> str:
    """The schema as the shipped file has it."""
    return json.dumps(schema(kind), indent=2) + "\n"

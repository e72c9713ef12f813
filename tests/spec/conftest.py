"""Specs and pipelines that several tests use, each test with copies of its own."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from interactem.spec import OperatorSpec, parse_operator

PARTIAL_TEXT = """
{"id": "70dd71a7-5ebf-4515-8bf9-941d1284328c", "image": "ghcr.io/nersc/interactem/center-of-mass-partial",
 "label": "Partial Center of Mass", "description": "Calculates the center of mass for a frame",
 "inputs": [{"name": "in", "label": "The input", "type": "frame", "description": "Input frame"}],
 "outputs": [{"name": "com_partial", "label": "The output", "type": "com_partial",
              "description": "Partial center of mass"}],
 "parameters": [{"name": "crop_to_x", "label": "Crop To X", "type": "int", "default": "255",
                 "description": "X-coordinate to crop to", "required": false}],
 "parallel_config": {"type": "embarrassing"}}
"""

READER = {
    "id": "00000000-0000-4000-8000-000000000001",
    "label": "Reader",
    "description": "Reads frames",
    "image": "example.org/operators/frame-reader",
    "outputs": [{"name": "frames", "type": "frame"}],
    "parameters": [
        {"name": "file", "type": "mount", "required": True},
        {"name": "frames_per_message", "type": "int", "default": 1},
    ],
}

REDUCE = {
    "id": "00000000-0000-4000-8000-000000000002",
    "label": "Reduce",
    "description": "Puts partial results together",
    "image": "example.org/operators/center-of-mass-reduce",
    "inputs": [
        {"name": "com_partial", "type": "com_partial"},
        {"name": "mask", "type": "any", "required": False},
    ],
    "outputs": [{"name": "maps", "type": "maps"}],
}

PIPELINE = {
    "name": "center-of-mass",
    "operators": {
        "frames": {"operator": "frame-reader", "parameters": {"file": "scan.mib"}},
        "partial": {"operator": "center-of-mass-partial", "replicas": 2},
        "reduce": {"operator": "center-of-mass-reduce"},
    },
    "edges": [
        {"from": "frames.frames", "to": "partial.in"},
        {"from": "partial.com_partial", "to": "reduce.com_partial"},
    ],
}


@pytest.fixture
def partial_text() -> str:
    """The published spec of interactEM's partial centre of mass."""
    return PARTIAL_TEXT


@pytest.fixture
def partial_value() -> dict[str, Any]:
    return json.loads(PARTIAL_TEXT)


@pytest.fixture
def operator_value() -> Callable[..., dict[str, Any]]:
    """Makes the least that a spec needs, with changes."""

    def make(**changes: Any) -> dict[str, Any]:
        least = {
            "id": "00000000-0000-4000-8000-0000000000ff",
            "label": "Least",
            "description": "The least",
            "image": "example.org/least",
        }
        return least | changes

    return make


@pytest.fixture
def operator(operator_value) -> Callable[..., OperatorSpec]:
    return lambda **changes: parse_operator(operator_value(**changes), "operator.json")


@pytest.fixture
def pipeline_value() -> dict[str, Any]:
    return copy.deepcopy(PIPELINE)


@pytest.fixture
def catalog() -> dict[str, OperatorSpec]:
    return {
        "frame-reader": parse_operator(READER, "frame-reader/operator.json"),
        "center-of-mass-partial": parse_operator(PARTIAL_TEXT, "center-of-mass-partial/operator.json"),
        "center-of-mass-reduce": parse_operator(REDUCE, "center-of-mass-reduce/operator.json"),
    }

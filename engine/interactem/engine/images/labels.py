"""Labels of images: the spec of the operator inside, and what the image was made from."""

from __future__ import annotations

from interactem.spec import OperatorSpec, parse_operator

SPEC = "interactem.operator.spec"
"""The operator's spec, as JSON."""
INPUTS = "interactem.inputs"
"""A hash of all that the image was made from: with the same inputs nothing has to be built."""


def encode_spec(spec: OperatorSpec) -> str:
    """What the label holds: the spec with what it says, in one line."""
    return spec.model_dump_json(exclude_unset=True, by_alias=True, exclude={"schema_uri"})


def decode_spec(text: str, image: str) -> OperatorSpec:
    """The spec in an image's label. Raises `SpecError`, which names the image."""
    return parse_operator(text, f"{image} (label {SPEC})")

"""Labels of images: the spec of the operator inside, and what the image was made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from interactem.engine.images.containerfiles import escape_of
from interactem.spec import OperatorSpec, parse_operator

OURS = "interactem."
"""What the names of our labels begin with."""
SPEC = "interactem.operator.spec"
"""The operator's spec, as JSON."""
ASSIGNMENTS = "interactem.assignments"
"""The version of what operators are told that the interactem inside reads."""
INPUTS = "interactem.inputs"
"""A hash of all that the image was made from: with the same inputs nothing has to be built."""


def encode_spec(spec: OperatorSpec) -> str:
    """What the label holds: the spec with what it says, in one line."""
    return spec.model_dump_json(exclude_unset=True, by_alias=True, exclude={"schema_uri"})


def decode_spec(text: str, image: str) -> OperatorSpec:
    """The spec in an image's label. Raises `SpecError`, which names the image."""
    return parse_operator(text, f"{image} (label {SPEC})")


def add_to(containerfile: Path, labels: Mapping[str, str]) -> None:
    """Let the image have these labels by one instruction at the end, which is quicker than a flag for each."""
    text = containerfile.read_text(encoding="utf-8")
    containerfile.write_text(f"{text}\n{instruction(labels, escape_of(text))}\n", encoding="utf-8")


def instruction(labels: Mapping[str, str], escape: str) -> str:
    """The instruction that sets labels, whatever is in their values."""
    return "LABEL " + " ".join(f"{_quoted(name, escape)}={_quoted(value, escape)}" for name, value in labels.items())


def _quoted(text: str, escape: str) -> str:
    for sign in (escape, '"', "$"):
        text = text.replace(sign, escape + sign)
    return f'"{text}"'

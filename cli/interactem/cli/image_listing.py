"""`interactem operator ls --images`: the operators among the engines' images."""

from __future__ import annotations

from typing import Any

from interactem.cli.baking_screen import short, sized
from interactem.cli.failures import InvalidError, counted
from interactem.cli.output import print_json, print_table, say
from interactem.cli.wording import ports
from interactem.engine.images.builders import EngineName
from interactem.engine.images.listing import ImageOperator, operators_of, usable_builders
from interactem.spec import Problem


def print_images(engine: EngineName | None, *, as_json: bool) -> None:
    """The operators, also where a label does not hold. Raises `InvalidError` then."""
    found: list[ImageOperator] = []
    problems: list[Problem] = []
    for builder in usable_builders(engine):
        operators, wrong = operators_of(builder)
        found += operators
        problems += wrong
    values = [to_value(operator) for operator in found]
    if not as_json:
        columns = ("image", "engine", "inputs", "outputs", "label", "size", "id")
        print_table(columns, map(_row, found), right=("size",))
        if not found and not problems:
            say("No image has an operator in it. Build those of this project: interactem operator build", stderr=True)
    if problems:
        raise InvalidError(counted(problems), problems, details={"images": values})
    if as_json:
        print_json(values)


def _row(operator: ImageOperator) -> tuple[str, ...]:
    spec, image = operator.spec, operator.found
    inputs, outputs = ports(spec.inputs), ports(spec.outputs)
    return operator.image, operator.engine, inputs, outputs, spec.label, sized(image.size), short(image.id)


def to_value(operator: ImageOperator) -> dict[str, Any]:
    """Where the image is, and the spec under its own key."""
    return {
        "image": operator.image,
        "engine": operator.engine,
        "id": operator.found.id,
        "digest": operator.found.digest,
        "size": operator.found.size,
        "created": operator.found.created,
        "spec": operator.spec.model_dump(mode="json", exclude={"schema_uri"}),
    }

"""The operators among the images that engines have: read from labels, with nothing started."""

from __future__ import annotations

from dataclasses import dataclass

from interactem.engine.images import labels
from interactem.engine.images.builders import Builder, EngineImage, EngineName
from interactem.engine.images.choosing import BUILDERS
from interactem.engine.images.errors import NoEngineError
from interactem.spec import OperatorSpec, Problem, SpecError


@dataclass(frozen=True, slots=True)
class ImageOperator:
    """An operator in an image. `image` is its name there, or its id where it has none."""

    engine: EngineName
    image: str
    found: EngineImage
    spec: OperatorSpec


def operators_of(builder: Builder) -> tuple[list[ImageOperator], list[Problem]]:
    """The operators among an engine's images, one a name, and what is wrong with labels. Raises `ImageError`."""
    operators: list[ImageOperator] = []
    problems: list[Problem] = []
    for image in builder.labelled(labels.SPEC):
        names = [name for name in image.names if not name.startswith("<none>")]
        for name in names:  # one without a name was replaced by another
            try:
                spec = labels.decode_spec(image.labels[labels.SPEC], name)
            except SpecError as error:
                problems += error.problems
            else:
                operators.append(ImageOperator(builder.name, name, image, spec))
    return sorted(operators, key=lambda operator: operator.image), problems


def usable_builders(wanted: EngineName | None = None) -> list[Builder]:
    """The engine that is wanted, or all that can list images. Raises `NoEngineError` where there is none."""
    builders = [BUILDERS[name]() for name in ((wanted,) if wanted else BUILDERS)]
    troubles: list[NoEngineError] = []
    usable: list[Builder] = []
    for builder in builders:
        try:
            builder.check()
        except NoEngineError as error:
            troubles.append(error)
        else:
            usable.append(builder)
    if not usable:
        raise NoEngineError("; ".join(t.reason for t in troubles), " or ".join(t.advice for t in reversed(troubles)))
    return usable

"""The specs of operators that are named by their images."""

from __future__ import annotations

from collections.abc import Iterable

from interactem.engine.containers.engines import Engine
from interactem.engine.containers.errors import MissingImageError
from interactem.engine.containers.pulling import Progress, present
from interactem.engine.images import labels
from interactem.spec import OperatorSpec, Problem, SpecError


def specs_in_images(engine: Engine, images: Iterable[str], progress: Progress) -> dict[str, OperatorSpec]:
    """The spec of each image, read from its label; those that the engine does not have are pulled. Blocks.

    Each has the image's name here for its `image`. Raises `MissingImageError` with all that cannot be had, and
    `SpecError` for those that hold no operator.
    """
    specs: dict[str, OperatorSpec] = {}
    missing: list[str] = []
    problems: list[Problem] = []
    for name in dict.fromkeys(images):
        try:
            specs[name] = _spec(name, dict(present(engine, name, name, progress).labels))
        except MissingImageError as error:
            missing += error.problems
        except SpecError as error:
            problems += error.problems
    if missing:
        raise MissingImageError(missing)
    if problems:
        raise SpecError(problems)
    return specs


def _spec(name: str, found: dict[str, str]) -> OperatorSpec:
    if labels.SPEC not in found:
        message = f"the image has no label {labels.SPEC}, so nobody knows its ports and parameters"
        raise SpecError([Problem(name, "", message, "build it with: interactem operator build")])
    return labels.decode_spec(found[labels.SPEC], name).model_copy(update={"image": name})

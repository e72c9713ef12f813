"""What an operator's `RUN` may do while its image is built: everything, as with any other base image.

The base images run as a user without rights, and so does what is built on them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from interactem.engine.images.containerfiles import Instruction, expand, instructions
from interactem.engine.images.names import same_image

USER = 65532
"""Who runs in our images unless the engine says otherwise; the number of `nonroot` in others' base images."""

PUBLISHED = (
    "ghcr.io/nersc/interactem/operator",
    "operator",
    "ghcr.io/nersc/interactem/distiller-streaming",
    "distiller-streaming",
)
"""The base images that published Containerfiles name. They are ours also where a project has no `base-images/`."""

BUILDER = "USER 0:0\n"
RUNNER = f"USER {USER}:{USER}\n"


@dataclass(slots=True)
class _Stage:
    """A stage of a build: the instructions from one `FROM` to the next."""

    image: str
    steps: list[Instruction] = field(default_factory=list)
    end: int = 0
    """The line behind the stage."""


def run_as_root(containerfile: str, bases: Collection[str]) -> str:
    """The Containerfile with each `RUN` on top of one of the base images done by root, and the user as it was after it.

    Stages that name a user themselves stay as they are; without `RUN` the whole file does.
    """
    lines = containerfile.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    for stage in reversed(list(_stages(containerfile, len(lines) + 1))):
        runs = [number for number, step in enumerate(stage.steps) if step.word == "RUN"]
        named = any(step.word == "USER" for step in stage.steps)
        if not runs or named or not any(same_image(stage.image, base) for base in bases):
            continue
        first, last = stage.steps[runs[0]], runs[-1] + 1
        after = stage.steps[last].line if last < len(stage.steps) else stage.end
        lines.insert(after - 1, RUNNER)
        lines.insert(first.line - 1, BUILDER)
    return "".join(lines)


def _stages(containerfile: str, end: int) -> Iterator[_Stage]:
    stage: _Stage | None = None
    defaults: dict[str, str] = {}
    for step in instructions(containerfile):
        if step.word == "FROM":
            if stage is not None:
                stage.end = step.line
                yield stage
            stage = _Stage(expand(_named(step.rest.split()), defaults))
        elif stage is None and step.word == "ARG":
            name, _, value = step.rest.partition("=")
            defaults[name] = value.strip("\"'")
        elif stage is not None:
            stage.steps.append(step)
    if stage is not None:
        stage.end = end
        yield stage


def _named(words: Sequence[str]) -> str:
    return next((word for word in words if not word.startswith("--")), "")

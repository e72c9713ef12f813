"""What builds, moves and lists images: docker and podman, by their own commands, behind one interface."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

EngineName = Literal["docker", "podman"]


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image that an engine has. `digest` is that of its manifest, empty where the engine does not know one."""

    id: str
    names: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    created: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Build:
    """One build. All images that it builds on are there: no registry is to be asked for any.

    `scratch` is a folder for it alone, `mark` a word that nothing else has.
    """

    context: Path
    containerfile: Path
    images: Sequence[str]
    scratch: Path
    mark: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    flags: Sequence[str] = ()
    """What its command line says beside the rest, the same for all engines."""

    @property
    def id_file(self) -> Path:
        """Where the id of the image is written."""
        return self.scratch / "image-id"


@dataclass(frozen=True, slots=True)
class Step:
    """A failing step of a build, and the last lines that it has said."""

    text: str
    lines: Sequence[str]


class Builder(Protocol):
    """A container engine. Its commands are made here and run by whoever asks for them; listing is done at once.

    `environment` is what its commands need beside our own environment, `build_environment` what a build does.
    """

    name: EngineName
    environment: Mapping[str, str]

    def check(self) -> None:
        """Raises `NoEngineError`, with what to do, where it cannot build."""

    def images(self, names: Collection[str]) -> dict[str, EngineImage]:
        """Those of these images that it has, by the names asked for. Raises `ImageError`."""

    def labelled(self, label: str) -> list[EngineImage]:
        """The images with this label. Raises `ImageError`."""

    def build_command(self, build: Build) -> list[str]: ...

    def build_environment(self, build: Build) -> Mapping[str, str]: ...

    def halt(self, build: Build) -> bool:
        """Make a build fail at the step that it is at. False where a signal to its command is as good."""

    def abandon(self, build: Build) -> None:
        """Remove what a build that was ended by a signal has left behind."""

    def tag_commands(self, image: str, names: Sequence[str]) -> list[list[str]]: ...

    def untag_command(self, name: str) -> list[str]: ...

    def pull_command(self, image: str, *, insecure: bool = False) -> list[str]: ...

    def push_command(self, image: str, digest_file: Path, *, insecure: bool = False) -> list[str]: ...

    def step(self, line: str) -> str | None:
        """The step that a line of a build's output begins, such as `2/3 RUN pip install scipy`."""

    def failing_step(self, lines: Sequence[str]) -> Step:
        """The step that failed, from a build's output."""

    def stumbled(self, lines: Sequence[str]) -> bool:
        """Whether a build failed, by its output, over an image that somebody removed meanwhile."""

    def pushed_digest(self, lines: Sequence[str], digest_file: Path) -> str:
        """The digest of what was pushed."""


def shorten(text: str, width: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."

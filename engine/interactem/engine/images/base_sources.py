"""The base images that there are: the folders in `base-images/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = "base-images"
REGISTRY = "ghcr.io/nersc/interactem"

CONTAINERFILE = "Containerfile"
OFFLINE = "Containerfile.offline"
"""Stands in for the Containerfile where no image registry can be reached."""

PYTHON = "python"
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class BaseSource:
    """A folder of `base-images/`. Containerfiles name its image by any of `images`, the full name first."""

    name: str
    folder: Path
    images: tuple[str, ...]


def find_bases(folder: Path) -> tuple[BaseSource, ...]:
    """The base images in a `base-images/` folder."""
    found = [path.parent for path in sorted(folder.glob(f"*/{CONTAINERFILE}"))]
    return tuple(BaseSource(path.name, path, _images(path.name)) for path in found)


def _images(name: str) -> tuple[str, ...]:
    full = f"{REGISTRY}/{name}"
    # a bare `python` would stand for the official image in whatever else is built on this machine;
    # `interactem/operator` is what operators in interactEM's own repository are built on
    return (full,) if name == PYTHON else (full, name, f"interactem/{name}")

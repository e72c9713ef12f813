"""What can go wrong with images.

ImageError                  the base; says what is wrong, where, and what to do
├── NoEngineError           no container engine can be used
├── BaseImageError          what a base image is made from is missing or wrong
├── BuildError              a step of a Containerfile fails
├── TransferError           an image cannot be pushed or pulled
└── RegistryError           a registry does not answer, or not to us
"""

from __future__ import annotations

from collections.abc import Sequence

from interactem.engine.errors import EngineError


class ImageError(EngineError):
    """The base of this package's errors. `advice` says what to do."""

    def __init__(self, reason: str, advice: str = "", output: Sequence[str] = ()) -> None:
        lines = [reason, *(f"    {line}" for line in output), advice]
        super().__init__("\n".join(line for line in lines if line))
        self.reason = reason
        self.advice = advice
        self.output = tuple(output)


class NoEngineError(ImageError):
    """No container engine can be used, or not the one that was asked for."""


class BaseImageError(ImageError):
    """What a base image is made from is missing or wrong."""


class BuildError(ImageError):
    """A step of a Containerfile fails. `output` has the step's last lines."""

    def __init__(self, name: str, step: str, output: Sequence[str], advice: str = "") -> None:
        super().__init__(f"{name}: {step}" if step else f"{name} is not built", advice, output)
        self.name = name
        self.step = step


class TransferError(ImageError):
    """An image cannot be pushed or pulled."""

    def __init__(self, image: str, doing: str, output: Sequence[str], advice: str = "") -> None:
        super().__init__(f"{image} cannot be {doing}", advice, output)
        self.image = image


class RegistryError(ImageError):
    """A registry does not answer, or not to us."""

    def __init__(self, registry: str, reason: str, advice: str) -> None:
        super().__init__(f"{registry}: {reason}", advice)
        self.registry = registry

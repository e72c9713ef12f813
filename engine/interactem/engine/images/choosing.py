"""Which engine is used."""

from __future__ import annotations

from collections.abc import Callable

from interactem.engine.images.builders import Builder, EngineName
from interactem.engine.images.docker import DockerBuilder
from interactem.engine.images.errors import NoEngineError
from interactem.engine.images.podman import PodmanBuilder

BUILDERS: dict[EngineName, Callable[[], Builder]] = {"docker": DockerBuilder, "podman": PodmanBuilder}


def find_builder(wanted: EngineName | None = None) -> tuple[Builder, str]:
    """The engine that is wanted, else docker where it can build, else podman; and why it is not the first, if so.

    Raises `NoEngineError` with what is wrong with each.
    """
    troubles: list[NoEngineError] = []
    for name in (wanted,) if wanted else BUILDERS:
        builder = BUILDERS[name]()
        try:
            builder.check()
        except NoEngineError as error:
            troubles.append(error)
        else:
            return builder, "; ".join(error.reason for error in troubles)
    if wanted:
        raise troubles[0]
    advice = " or ".join(error.advice for error in reversed(troubles))
    reason = "no container engine can build: " + "; ".join(error.reason for error in troubles)
    raise NoEngineError(reason, f"{advice}")

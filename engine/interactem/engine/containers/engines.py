"""What the container engines have in common: the shape of their siblings `podman` and `docker`, and its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

EngineName = Literal["podman", "docker"]
ENGINES: tuple[EngineName, ...] = ("podman", "docker")

CALL_SECONDS = 120.0
"""How long an engine may take for one answer, other than for what has no bounds: a pull, a container's life."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an engine can do on this machine."""

    rootless: bool = False
    """Whether it runs as us, so that its root is no other than we are."""
    remaps_users: bool = False
    """Whether the numbers of users in a container are others than outside, unless one asks for the same."""
    memory: bool = True
    swap: bool = True
    cpus: bool = True
    processes: bool = True


@dataclass(frozen=True, slots=True)
class Image:
    """An image in an engine's store."""

    id: str
    """Such as `sha256:…`: of its configuration, and so of all that is in it."""
    digests: tuple[str, ...] = ()
    """What registries know it by, such as `localhost:5001/frame-reader@sha256:…`."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of this machine, as a container has it."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """A container before it is made, whatever the engine. Of what it does not say, it has the least there is."""

    name: str
    image: str
    command: tuple[str, ...]
    """In the place of what the image runs; empty for that."""
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    user: str
    """User and group, as numbers."""
    keep_user: bool
    """Whether the user is to have the same number outside, where the engine would give it another."""
    same_users: bool
    """Whether the engine is to leave its remapping of users."""
    binds: tuple[Bind, ...]
    memory: int | None
    swap: int | None
    """Memory and swap together."""
    cpus: float | None
    processes: int | None
    gpus: int


@dataclass(frozen=True, slots=True)
class End:
    """How a container ended."""

    code: int
    out_of_memory: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A container that is there."""

    id: str
    name: str
    labels: Mapping[str, str]


class Output(Protocol):
    """What a container prints, until it ends: chunks with the number of the stream that they were printed to."""

    def __iter__(self) -> Iterator[tuple[int, bytes]]: ...

    def close(self) -> None: ...


PullProgress = Callable[[str], None]
"""Is told how far a pull has come, in a line of text."""


class Engine(Protocol):
    """A container engine of this machine. All methods block; any number of threads may use them.

    They raise `EngineRefusal` where the engine says no, and `NoEngineError` where it does not answer.
    """

    @property
    def name(self) -> EngineName: ...

    @property
    def socket(self) -> str:
        """The path of its socket."""
        ...

    @property
    def version(self) -> str: ...

    def abilities(self) -> Abilities: ...

    def image(self, reference: str) -> Image | None:
        """The image of this name, id or digest, if it is in the store."""
        ...

    def pull(self, reference: str, progress: PullProgress) -> None:
        """Get an image from its registry."""
        ...

    def create(self, options: Options) -> tuple[str, list[str]]:
        """Make a container; its id, and what the engine warns of."""
        ...

    def attach(self, container: str) -> Output:
        """What it prints from now on. It is attached when this returns; close what it returns."""
        ...

    def start(self, container: str) -> None: ...

    def runs(self, container: str) -> bool:
        """Whether it is running now."""
        ...

    def signal(self, container: str, number: int) -> None:
        """Send it a signal. Does nothing to one that has ended or is gone."""
        ...

    def wait(self, container: str) -> End:
        """How it ended, once it has."""
        ...

    def remove(self, container: str) -> None:
        """Kill it, and remove it with the volumes that were made for it. Does nothing where it is gone."""
        ...

    def containers(self, labels: Mapping[str, str | None]) -> list[Found]:
        """Those with all of these labels, whatever their state; None stands for any value."""
        ...

    def close(self) -> None: ...

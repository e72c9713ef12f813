"""What a replica is told about its place in the run: which edges it reads, which streams it writes, its limits.

The engine stores one for each operator in the broker; a replica needs no more than the broker's address, the run's
id, the operator's index and its own index to find it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from interactem.runtime.errors import SettingsError
from interactem.runtime.routing import Route

VERSION = 5
_READ = frozenset({2, 3, 4, VERSION})


@dataclass(frozen=True, slots=True)
class Input:
    """An edge that ends at this operator. With several partitions, replica r reads partition r alone."""

    edge: int
    port: str
    stream: int
    partitions: int = 1
    shm: bool = False
    """Whether large messages come in shared memory."""
    sender: int = 0
    """The index of the operator that it comes from."""
    senders: int = 1
    """How many replicas that has."""
    keyed: bool = False
    """Whether the partitions are by a key, so that any of a source's ids may come to any of them."""
    origins: tuple[str, ...] = ()
    """The sources that what comes on it began in, each `operator~replica`."""
    ordered: bool = False
    """Whether a message that fails holds back what comes behind it with its key."""
    key: tuple[str, ...] = ()
    """The way to the key in a message's meta."""

    @property
    def ways(self) -> int:
        """Of so many ids in a row, one comes to a replica."""
        return 1 if self.keyed else self.partitions

    def partition(self, replica: int) -> int:
        return replica if self.partitions > 1 else 0


@dataclass(frozen=True, slots=True)
class Output:
    """An output port.

    `edges` begin at it and `readers` are the operators that they end at; with none, nothing is stored.
    """

    port: str
    stream: int
    partitions: int = 1
    """In so many ways it is divided by ids."""
    edges: tuple[int, ...] = ()
    readers: tuple[int, ...] = ()
    edge_partitions: tuple[int, ...] = ()
    """Of each edge."""
    shm: bool = False
    """Whether large messages go in shared memory: all that read them are on one host."""
    fallback: bool = False
    """Whether only what the kernel could not deal with goes here, by its name."""
    routes: tuple[Route, ...] = ()
    """What edges say that do not take every message, or have a key."""
    ordered: tuple[int, ...] = ()
    """Those of the edges that keep their order, whatever fails."""


@dataclass(frozen=True, slots=True)
class SideInput:
    """Another operator's latest value, known here by `name`; `key` is its operator's name in the pipeline."""

    name: str
    operator: int
    key: str
    wait: float = 60.0
    """How long the first value is waited for, in seconds."""


@dataclass(frozen=True, slots=True)
class Assignment:
    run: str
    operator: int
    name: str
    replicas: int = 1
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    timeout: float | None = None
    max_attempts: int = 3
    max_payload: int = 2**20
    """Bytes that one NATS message holds at most; larger messages become blobs."""
    max_message: int = 2**30
    """Bytes that one message holds at most."""
    max_state: int = 2**30
    """Bytes that what one replica keeps takes at most."""
    ack_wait: float = 5.0
    arena: int = 0
    """Bytes of each replica's arena; 0 where it has none."""
    most_kept: int = 0
    """Bytes of others' arenas that a kernel of a replica may keep beyond its call."""

    every: float | None = None
    """Of a side input: seconds between two calls."""
    side_inputs: tuple[SideInput, ...] = ()

    @property
    def is_side_input(self) -> bool:
        return self.every is not None

    @property
    def is_source(self) -> bool:
        return not self.inputs and not self.is_side_input

    @property
    def is_sink(self) -> bool:
        return all(output.fallback for output in self.outputs)

    def to_value(self) -> dict[str, Any]:
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_value(cls, value: dict[str, Any]) -> Assignment:
        """Raises `SettingsError` for one that another version of interactem has made, and others for what is none."""
        fields = dict(value)
        version = fields.pop("version", None)
        if version not in _READ:
            raise SettingsError(
                f"what this operator is told is of version {version!r}, and the interactem that it runs with reads "
                f"{min(_READ)} to {VERSION}: that of the run is another one; build the operator's image again: "
                "interactem operator build --build-base"
            )
        fields["inputs"] = tuple(
            Input(**{**item, **{name: tuple(item.get(name, ())) for name in ("origins", "key")}})
            for item in fields["inputs"]
        )
        fields["side_inputs"] = tuple(SideInput(**item) for item in fields.get("side_inputs", ()))
        fields["outputs"] = tuple(map(_output, fields["outputs"]))
        return cls(**fields)


def _output(value: dict[str, Any]) -> Output:
    lists = ("edges", "readers", "edge_partitions", "ordered")
    routes = tuple(map(Route.of, value.get("routes", ())))
    return Output(**{**value, **{name: tuple(value.get(name, ())) for name in lists}, "routes": routes})

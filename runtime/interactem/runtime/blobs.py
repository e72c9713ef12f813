"""Payloads that are too large for one NATS message, cut into pieces that are stored apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from re import fullmatch
from typing import Any, Self

import msgpack

from interactem.runtime.errors import WireError
from interactem.runtime.messages import Buffer
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Store

LOOSE = "loose"
"""The record of what a replica was to store apart, or to remove, when it last did: it may have died meanwhile."""
HEADROOM = 16_384
"""What a NATS message needs beside the messages in it, at most: its headers, and what is known of a failure."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where the data of a message is stored apart: a copy for each edge, which whoever reads that edge removes."""

    blob: str
    chunks: int

    def subjects(self, names: Names, edge: int) -> list[str]:
        return [names.blob(edge, self.blob, number) for number in range(self.chunks)]

    def pieces(self, names: Names, operator: int, replica: int) -> list[str]:
        """Where a record of a replica is, that is itself stored apart."""
        return [names.piece(operator, replica, self.blob, number) for number in range(self.chunks)]

    def to_value(self) -> dict[str, Any]:
        return {"blob": self.blob, "chunks": self.chunks}

    @classmethod
    def of(cls, about: dict[str, Any]) -> Self | None:
        """What a batch says of its data. Raises `WireError` where it says it wrongly."""
        if "blob" not in about:
            return None
        blob, chunks = about["blob"], about.get("chunks")
        # the name becomes part of a subject, and comes from another operator
        named = isinstance(blob, str) and fullmatch(r"[0-9A-Za-z_-]{1,100}", blob)
        if not named or not isinstance(chunks, int) or not 0 <= chunks <= 2**20:
            raise WireError("a reference to data stored apart does not say where it is")
        return cls(blob, chunks)


def pack_references(references: Sequence[Reference]) -> bytes:
    packed: bytes = msgpack.packb([reference.to_value() for reference in references])
    return packed


def unpack_references(packed: bytes) -> list[Reference]:
    """Raises `WireError` for what a reference says wrongly."""
    found = (Reference.of(value) for value in msgpack.unpackb(packed))
    return [reference for reference in found if reference is not None]


def pieces(data: Buffer, max_payload: int) -> list[bytes]:
    """`data` in pieces of which each fits into one NATS message."""
    size = max_payload - HEADROOM
    view = memoryview(data).cast("B")
    return [bytes(view[start : start + size]) for start in range(0, view.nbytes, size)]


def stores(subjects: list[str], data: Buffer, max_payload: int, *, kept: bool = False) -> list[Store]:
    """`kept` says that it is part of what a replica keeps."""
    return [
        Store(subject, piece, kept=kept) for subject, piece in zip(subjects, pieces(data, max_payload), strict=True)
    ]

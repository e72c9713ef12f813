"""References to blocks of an arena, as a batch has them in what is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from interactem.runtime.errors import WireError

_IDENTITY_BYTES = 16
_MOST = 2**48


class BlockReference(NamedTuple):
    """Where a message's data is in the arena."""

    block: int
    generation: int
    offset: int
    length: int


class References(NamedTuple):
    """Where the messages of a batch have their data: one arena, and for each message a block, or None."""

    operator: int
    replica: int
    identity: bytes
    blocks: Sequence[BlockReference | None]

    def to_value(self) -> dict[str, Any]:
        return {"blocks": [self.operator, self.replica, self.identity, self.blocks]}

    @classmethod
    def of(cls, about: dict[str, Any], count: int) -> Self | None:
        """What a batch of so many messages says. Raises `WireError` where it says it wrongly."""
        if "blocks" not in about:
            return None
        try:
            operator, replica, identity, blocks = about["blocks"]
            found = [None if block is None else _block(*block) for block in blocks]
        except (TypeError, ValueError) as error:
            raise WireError(f"references to shared memory are not what they should be: {error}") from error
        if len(found) != count:
            raise WireError(f"{count} messages and {len(found)} references to shared memory")
        if type(operator) is not int or type(replica) is not int or min(operator, replica) < 0:
            raise WireError("references to shared memory do not say whose it is")
        if type(identity) is not bytes or len(identity) != _IDENTITY_BYTES:
            raise WireError("references to shared memory do not say which it is")
        return cls(operator, replica, identity, found)


def _block(block: object, generation: object, offset: object, length: object) -> BlockReference:
    for number in (block, generation, offset, length):
        if type(number) is not int or not 0 <= number < _MOST:
            raise ValueError(f"{number!r:.50} is no number of a block, generation, offset or length")
    return BlockReference(block, generation, offset, length)  # type: ignore[arg-type]

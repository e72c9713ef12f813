"""Succession: on an edge that keeps its order nothing goes past what somebody else was handed before.

The broker numbers what it hands out to the readers of a consumer. Each partition of such an edge has one reader at a
time; what others hold are those of before it, which have died, and a connection that broke. All of that comes once
more, but behind what is newer. How many batches these are is known: what was under way when the reader began, and
whatever number is missing since. Until so many have come again, what comes is kept. Pure values, without a clock.
"""

from __future__ import annotations

from interactem.runtime.transports import Delivery

__all__ = ["Succession"]

_REMEMBERED = 4_096
"""Of so many batches that were settled it is known that they were."""


class Succession:
    """`handed_out` is the number of the last batch that anybody was handed, `missing` how many of them came to others
    and have not come again.
    """

    def __init__(self, handed_out: int, missing: int) -> None:
        self.missing = missing
        self._last = handed_out
        self._kept: dict[int, Delivery] = {}
        self._settled: dict[int, None] = {}

    def count(self, number: int) -> bool:
        """A batch was handed out under this number, to us. Returns whether others were handed something in between."""
        missed = max(0, number - self._last - 1)  # a broker that was killed counts from an earlier number again
        self._last = number
        self.missing += missed
        return missed > 0

    def take(self, delivery: Delivery, *, again: bool) -> list[Delivery]:
        """What may go on once this one has come, which we do not hold; `again` if it was handed out before."""
        if again and self.missing and delivery.sequence not in self._settled:
            self.missing -= 1
        self._kept[delivery.sequence] = delivery
        return [] if self.missing else self.clear()

    def settled(self, sequence: int) -> None:
        """It is done with, and if it comes again it is not what is missing."""
        self._settled[sequence] = None
        if len(self._settled) > _REMEMBERED:
            del self._settled[next(iter(self._settled))]

    def clear(self) -> list[Delivery]:
        """Nobody else holds anything: all that is kept goes on, in its order."""
        self.missing = 0
        kept = [self._kept[sequence] for sequence in sorted(self._kept)]
        self._kept.clear()
        return kept

"""Memory for messages that are still to be made: where `BytesMessage.empty` gets it from.

In a replica that has shared memory it is a block of that, so that sending the message copies nothing; elsewhere it is
ordinary memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from interactem.runtime.arena import Arena, Block


@dataclass(slots=True)
class Loan:
    """Memory that an author writes to. `seal` ends that."""

    memory: NDArray[Any]
    """Its bytes; held for as long as this array is there, which all that is made from it sees to."""
    arena: Arena | None = None
    block: Block | None = None
    view: memoryview | None = None
    array: NDArray[Any] | None = None
    """What the author was given: the bytes, and the array on them."""
    _made_from: int = 0
    """How many refer to `memory` while nobody but this has made an array from it."""

    def give(self, view: memoryview, array: NDArray[Any]) -> None:
        """The author is given these."""
        self.view, self.array = view, array
        self._made_from = sys.getrefcount(self.memory)

    def seal(self) -> bool:
        """It is sent: whoever writes to it now is told. Whether there may be somebody whom this does not reach.

        That is an array made from it, which refers to `memory` whatever it was sliced from, or a memoryview of
        `array`, or a variable that holds `array`. Our own references are this one's and the call's.
        """
        self.memory.flags.writeable = False
        if self.array is None:
            return False
        self.array.flags.writeable = False
        made = sys.getrefcount(self.memory) > self._made_from
        return made or sys.getrefcount(self.array) > 2


Lender = Callable[[int], Loan | None]
lender: ContextVar[Lender | None] = ContextVar("lender", default=None)
"""What lends shared memory in this thread, if anything does."""


def borrow(size: int) -> Loan:
    """So many bytes that nobody has written to."""
    import numpy as np

    lend = lender.get()
    loan = None if lend is None else lend(size)
    return Loan(np.empty(size, np.uint8)) if loan is None else loan

"""The record that a replica goes on from: stored by one incarnation at a time.

What a dead process has sent may still be on its way to the broker when its successor is already at work. A checkpoint
that came so late would take the place of a newer one, and what is in that would be lost. Therefore each store says
which one it replaces, and the broker refuses it where there is another by then.
"""

from __future__ import annotations

import asyncio
import secrets

from interactem.runtime.connections import Storer
from interactem.runtime.errors import SupersededError
from interactem.runtime.transports import Store

WRITER = "Interactem-Writer"
"""The header that says which store it was."""


class OwnRecord:
    """One replica's record. `read` comes before `store`."""

    def __init__(self, storer: Storer, stream: str, subject: str) -> None:
        self.subject = subject
        self._storer = storer
        self._stream = stream
        self._name = secrets.token_hex(8)
        self._count = 0
        self._replaces = 0
        self._order = asyncio.Lock()

    async def read(self) -> bytes:
        """What was stored last. Raises `KeyError` where there is nothing."""
        last = await self._storer.last_stored(self._stream, self.subject)
        self._replaces = last.sequence
        return last.payload

    async def store(self, item: Store) -> None:
        """Raises `SupersededError` where somebody else has stored it since."""
        async with self._order:
            self._count += 1
            writer = f"{self._name}.{self._count}"
            try:
                self._replaces = await self._storer.store(item, replaces=self._replaces, headers={WRITER: writer})
            except SupersededError:
                # it may have been ourselves, only that the answer was lost
                last = await self._storer.last_stored(self._stream, self.subject)
                if last.headers.get(WRITER) != writer:
                    raise
                self._replaces = last.sequence

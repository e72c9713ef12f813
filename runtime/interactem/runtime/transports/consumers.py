"""Asking the broker how far those are who read an edge."""

from __future__ import annotations

from typing import Any

from interactem.runtime.connections import Storer
from interactem.runtime.subjects import Names

__all__ = ["Consumers"]

_NO_STREAMS = 10039
"""JetStream's error code for an account that has none."""


class Consumers:
    """Knows by which name a consumer is asked for: an account of a replica's own has another one than the run's."""

    def __init__(self, storer: Storer, names: Names) -> None:
        self._storer = storer
        self._names = names
        self._own_account = False

    async def info(self, stream: int, edge: int, part: int, patience: float) -> dict[str, Any] | None:
        """What the broker says of a consumer; None where there is none. Raises `TransportError` for no answer."""
        names = self._names
        subject = names.own_consumer_info(edge, part) if self._own_account else names.consumer_info(stream, edge, part)
        info = await self._storer.ask(subject, None, patience=patience)
        if "error" not in info:
            return info
        if info["error"].get("err_code") == _NO_STREAMS and not self._own_account:
            self._own_account = True
            return await self.info(stream, edge, part, patience)
        return None

"""`self.js`: JetStream as interactEM's operators know it, with its streams of results where the run has them.

There an operator publishes images and tables to streams that all operators of an installation share. Here they are
records of the replica, of the kinds `image` and `table` (see `interactem.runtime.subjects`), in the run's broker, which
keeps the latest of each kind. An empty record is what is left of one that was purged.
"""

from __future__ import annotations

from typing import Any, Protocol

from nats.aio.client import Client
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import PubAck

from interactem.core.constants import STREAM_IMAGES, STREAM_TABLES
from interactem.runtime.errors import MessageTooLargeError
from interactem.runtime.subjects import Names

__all__ = ["KINDS", "MemoryResults", "Results", "RunResults"]

KINDS = {STREAM_IMAGES: "image", STREAM_TABLES: "table"}
"""What interactEM's streams of results are called among the records of a run."""
TIMEOUT = 10.0


class Results(Protocol):
    """What is known of `self.js` everywhere, in a test without a broker too."""

    async def publish(self, subject: str, payload: bytes = b"") -> Any: ...

    async def purge_stream(self, name: str, *, subject: str | None = None) -> bool: ...


class RunResults(JetStreamContext):
    """JetStream in the run's broker, with the permissions of the replica."""

    def __init__(self, client: Client, names: Names, operator: int, replica: int) -> None:
        super().__init__(client)
        self._client = client
        self._subjects = {stream: names.record(operator, replica, kind) for stream, kind in KINDS.items()}

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float | None = None,  # noqa: ASYNC109 - it is the method's that we take the place of
        stream: str | None = None,
        headers: dict[str, Any] | None = None,
        msg_ttl: float | None = None,
    ) -> PubAck:
        """Raises `MessageTooLargeError` for a payload over the broker's limit."""
        own = self._subjects.get(subject.partition(".")[0])
        if own is not None:
            subject, stream, timeout = own, None, timeout or TIMEOUT
        payload = bytes(payload)  # a kernel's data may be a view
        try:
            more = {} if msg_ttl is None else {"msg_ttl": msg_ttl}  # which older clients do not know
            return await super().publish(subject, payload, timeout, stream, headers, **more)
        except MaxPayloadError:
            raise MessageTooLargeError(len(payload), self._client.max_payload, "a result") from None

    async def purge_stream(
        self, name: str, seq: int | None = None, subject: str | None = None, keep: int | None = None
    ) -> bool:
        if name not in self._subjects:
            return await super().purge_stream(name, seq, subject, keep)
        await self.publish(name)
        return True


class MemoryResults:
    """The same without a broker, for tests: `latest` has the last payload of each kind, `image` and `table`."""

    def __init__(self) -> None:
        self.latest: dict[str, bytes] = {}

    async def publish(self, subject: str, payload: bytes = b"", **_: object) -> None:
        stream = subject.partition(".")[0]
        self.latest[KINDS.get(stream, stream)] = bytes(payload)

    async def purge_stream(self, name: str, **_: object) -> bool:
        return self.latest.pop(KINDS.get(name, name), None) is not None

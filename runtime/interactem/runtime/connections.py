"""Connections to the broker that outlive its restarts, and payloads stored for certain."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from interactem.runtime import wire
from interactem.runtime.errors import SettingsError, StateTooLargeError, SupersededError, TransportError
from interactem.runtime.transports import Store

STORE_TIMEOUT = 5.0
"""Seconds until a payload that nobody answered for is sent again, under the same id."""
PATIENCE = 60.0
"""Seconds that a broker may be away, or refuse for a reason other than a full store."""
_FULL = frozenset({10077, 10047, 10023, 10028})
"""JetStream's error codes for a store that is full."""
_SUPERSEDED = frozenset({10071, 10164})
_HOPELESS = frozenset({10054, 10060})
_NONE: Mapping[str, str] = {}
_FOUND = frozenset({"204", "404"})
_TOO_MANY = "413"
_AT_ONCE = 1024
"""So much the broker answers to one question, at most."""
_SHORTEST_TTL = "1s"
_REFUSED_FIRST = 0.005
_REFUSED_MOST = 0.2


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and the file that holds the credentials (user and password as JSON)."""

    url: str
    credentials: Path | None = None

    def login(self) -> dict[str, str]:
        if self.credentials is None:
            return {}
        try:
            value = json.loads(self.credentials.read_text())
            return {"user": str(value["user"]), "password": str(value["password"])}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SettingsError(f"{self.credentials}: no user and password can be read from it: {error}") from error


async def connect(
    address: Address,
    name: str,
    *,
    reconnected: Callable[[], None] | None = None,
    denied: Callable[[TransportError], None] | None = None,
    patience: float = PATIENCE,
) -> Client:
    """A client that comes back by itself whenever the broker does.

    `denied` is told when the broker does not let this user publish or subscribe to something: nothing else would say
    so, and no answer ever comes. Raises `TransportError` where there is no broker for `patience` seconds, or it
    refuses the credentials.
    """
    client = Client()
    loop = asyncio.get_running_loop()
    refused: asyncio.Future[Exception] = loop.create_future()
    last: Exception = TimeoutError(f"waited {patience:g} s")

    async def on_reconnect() -> None:
        if reconnected is not None:
            reconnected()

    async def on_error(error: Exception) -> None:
        # the client reports each lost connection here; what follows from one is decided where it matters
        nonlocal last
        last = error
        words = str(error).lower()
        if "permissions violation" in words:
            if denied is not None:
                denied(TransportError(f"the broker at {address.url} does not allow this user that: {error}"))
        elif "authorization" in words:
            if client._transport is not None:  # after the first time, nats-py leaves each such socket open
                client._transport.close()  # type: ignore[no-untyped-call]
            if not refused.done():
                refused.set_result(error)

    options: dict[str, Any] = {
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.1,
        "connect_timeout": 2,
        "ping_interval": 20,
        "max_outstanding_pings": 3,
        "pending_size": 64 * 2**20,
        "reconnected_cb": on_reconnect,
        "error_cb": on_error,
        **address.login(),
    }
    # a client that is to reconnect for ever tries to connect for ever too
    connecting = asyncio.ensure_future(client.connect(address.url, **options))
    try:
        await asyncio.wait((connecting, refused), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            connecting.result()
            return client
    except (OSError, NatsError, ValueError) as error:
        raise TransportError(f"{address.url} cannot be connected to: {error}") from error
    finally:
        connecting.cancel()
    if refused.done():
        raise TransportError(f"the broker at {address.url} refuses these credentials: {last}") from last
    raise TransportError(f"no broker answers at {address.url}: {last}") from last


@dataclass(frozen=True, slots=True)
class Stored:
    """What is in the broker's store."""

    payload: bytes
    sequence: int
    headers: Mapping[str, str]


async def flush(client: Client, patience: float = PATIENCE) -> None:
    """Wait until the broker has all that was said to it: what was subscribed to from then on comes.

    Raises `TransportError` where it has been away for `patience` seconds.
    """
    until = asyncio.get_running_loop().time() + patience
    while True:
        try:
            await client.flush()
            return
        except (NatsError, OSError) as error:
            if client.is_closed or asyncio.get_running_loop().time() > until:
                raise TransportError(f"the broker does not answer: {error}") from error
            await asyncio.sleep(0.05)  # it fails at once for as long as the broker is away


class Storer:
    """Stores payloads in JetStream, each for as long as it takes.

    Its publish window is its own: a reply inbox, a time limit, and the same id when it sends again. A store that is
    full is waited for.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._inbox = client.new_inbox()
        self._numbers = itertools.count()
        self._answers: dict[str, asyncio.Future[Msg | None]] = {}

    async def open(self) -> None:
        await self.client.subscribe(f"{self._inbox}.*", cb=self._on_answer, pending_bytes_limit=-1)

    async def _on_answer(self, message: Msg) -> None:
        answer = self._answers.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def resend(self) -> None:
        """The connection is new: what was under way is sent again at once."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)

    async def store(self, item: Store, *, replaces: int | None = None, headers: Mapping[str, str] = _NONE) -> int:
        """The sequence under which `item` is stored.

        `replaces` is the sequence of what is there under its subject (0: nothing). Raises `SupersededError` where
        something else is by now, `StateTooLargeError` where there is no room for what a replica keeps, and
        `TransportError` when it cannot be stored.
        """
        headers = dict(headers)
        if item.id:
            headers["Nats-Msg-Id"] = item.id
        if replaces is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(replaces)
        if item.wire:
            headers[wire.HEADER] = wire.FORMAT
        loop = asyncio.get_running_loop()
        wait = _REFUSED_FIRST
        until = loop.time() + PATIENCE
        again = False
        while True:
            answer = await self._ask(item.subject, item.payload, headers)
            refusal = _refusal(answer)
            if refusal is None:
                sequence = _sequence(answer)
                if item.stored is not None:
                    item.stored(sequence, again)
                return sequence
            again = again or answer is None  # it may have been stored, only that nobody said so
            code, reason = refusal
            if code in _SUPERSEDED:
                raise SupersededError(f"{item.subject} was stored by another process meanwhile: {reason}")
            if code in _FULL and item.kept and loop.time() > until:
                raise StateTooLargeError()
            if code in _FULL:
                until = until if item.kept else loop.time() + PATIENCE
            elif code in _HOPELESS or loop.time() > until:
                raise TransportError(f"{item.subject} cannot be stored: {reason}")
            if answer is not None:
                await asyncio.sleep(wait)
                wait = min(_REFUSED_MOST, wait * 2)

    async def remove(self, subject: str) -> None:
        """Remove what is stored under `subject`, in a stream that keeps the last payload of each and allows a time.

        Nothing is stored in its place, for a moment. Unlike a purge, which is told what to remove in its body, this
        can be allowed for some subjects alone. Raises `TransportError`.
        """
        until = asyncio.get_running_loop().time() + PATIENCE
        while (refusal := _refusal(await self._ask(subject, b"", {"Nats-TTL": _SHORTEST_TTL}))) is not None:
            code, reason = refusal
            if code in _FULL:
                return  # it would have made room, had there been anything
            if code in _HOPELESS or asyncio.get_running_loop().time() > until:
                raise TransportError(f"{subject} cannot be removed: {reason}")
            await asyncio.sleep(_REFUSED_MOST)

    async def _ask(self, subject: str, payload: bytes, headers: dict[str, str]) -> Msg | None:
        reply = f"{self._inbox}.{next(self._numbers)}"
        answer: asyncio.Future[Msg | None] = asyncio.get_running_loop().create_future()
        self._answers[reply] = answer
        try:
            await self.client.publish(subject, payload, reply=reply, headers=headers or None)
            async with asyncio.timeout(STORE_TIMEOUT):
                return await answer
        except MaxPayloadError:
            bound = self.client.max_payload
            raise TransportError(f"{len(payload)} bytes for {subject} are over the broker's limit of {bound}") from None
        except (TimeoutError, NatsError, OSError) as error:
            if self.client.is_closed:
                raise TransportError("the connection to the broker is closed") from None
            if not isinstance(error, TimeoutError):
                await asyncio.sleep(0.05)  # it fails at once for as long as the broker is away
            return None
        finally:
            del self._answers[reply]

    async def ask(self, subject: str, value: Any, patience: float = PATIENCE) -> dict[str, Any]:
        """The answer of JetStream's API, asked until it answers. Errors come as the answer's `error`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        payload = b"" if value is None else json.dumps(value).encode()
        while True:
            answer = await self._ask(subject, payload, {})
            if answer is not None and not _is_status(answer):
                result: dict[str, Any] = json.loads(answer.data)
                return result
            if loop.time() > until:
                raise TransportError(f"the broker does not answer {subject}: is JetStream enabled?")
            await asyncio.sleep(0.05)

    async def acknowledge(self, reply: str) -> None:
        """Acknowledge a delivery and wait until the broker has taken note of it. Raises `TransportError`."""
        until = asyncio.get_running_loop().time() + PATIENCE
        while await self._ask(reply, b"+ACK", {}) is None:
            if asyncio.get_running_loop().time() > until:
                raise TransportError("the broker does not take acknowledgements")

    async def last(self, stream: str, subjects: list[str]) -> dict[str, bytes]:
        """The last payload under each of `subjects`, which may have wildcards. Raises `TransportError`."""
        waiting = _Waiting(f"what is stored in {stream}")
        while True:
            status, messages = await self._several(stream, {"multi_last": subjects, "batch": _AT_ONCE})
            if status in _FOUND:
                return {_header(message, "Nats-Subject"): message.data for message in messages}
            if status == _TOO_MANY:
                pages = [await self._page_by_page(stream, pattern) for pattern in subjects]
                return {subject: payload for found in pages for subject, payload in found.items()}
            await waiting.pause()

    async def _page_by_page(self, stream: str, pattern: str) -> dict[str, bytes]:
        """The same for any number of subjects."""
        found: dict[str, bytes] = {}
        sequence = 1
        waiting = _Waiting(f"what is stored in {stream}")
        while True:
            question = {"seq": sequence, "next_by_subj": pattern, "batch": _AT_ONCE}
            status, messages = await self._several(stream, question)
            for message in messages:
                found[_header(message, "Nats-Subject")] = message.data
                sequence = int(_header(message, "Nats-Sequence")) + 1
            if status in _FOUND and not messages:
                return found
            if messages:
                waiting.begin()
            elif status not in _FOUND:
                await waiting.pause()

    async def _several(self, stream: str, question: dict[str, Any]) -> tuple[str, list[Msg]]:
        """The status that the broker's answers end with (nothing where they did not end), and those before it."""
        inbox = self.client.new_inbox()
        messages: asyncio.Queue[Msg] = asyncio.Queue()
        subscription = await self.client.subscribe(inbox, cb=messages.put, pending_bytes_limit=-1)
        found: list[Msg] = []
        try:
            await self.client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(question).encode(), reply=inbox)
            while True:
                async with asyncio.timeout(STORE_TIMEOUT):
                    message = await messages.get()
                if _is_status(message):
                    return _header(message, "Status"), found
                found.append(message)
        except (TimeoutError, NatsError, OSError):
            if self.client.is_closed:
                raise TransportError("the connection to the broker is closed") from None
            return "", found
        finally:
            await _quietly(subscription.unsubscribe())

    async def last_one(self, stream: str, subject: str) -> bytes:
        """The last payload under `subject`. Raises `KeyError` where there is none, and `TransportError`."""
        return (await self.last_stored(stream, subject)).payload

    async def last_stored(self, stream: str, subject: str) -> Stored:
        """The same, with what the broker says of it."""
        waiting = _Waiting(subject)
        while True:
            answer = await self._ask(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", {})
            if answer is not None and not _is_status(answer):
                return Stored(answer.data, int(_header(answer, "Nats-Sequence")), answer.headers or {})
            if answer is not None and answer.headers and answer.headers.get("Status") == "404":
                raise KeyError(subject)
            await waiting.pause()


class _Waiting:
    """For an answer of a broker that may be away for a while, and not for ever."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.begin()

    def begin(self) -> None:
        self._until = asyncio.get_running_loop().time() + PATIENCE

    async def pause(self) -> None:
        """Before the next try. Raises `TransportError` where the broker was away for too long."""
        if asyncio.get_running_loop().time() > self._until:
            raise TransportError(f"the broker does not say {self._what}")
        await asyncio.sleep(0.05)


async def _quietly(task: Awaitable[None]) -> None:
    """A lost connection needs no goodbye."""
    try:
        await task
    except (NatsError, OSError):
        return


def _header(message: Msg, name: str) -> str:
    return str((message.headers or {}).get(name, ""))


def _is_status(message: Msg) -> bool:
    return not message.data and bool(message.headers) and "Status" in (message.headers or {})


def _refusal(answer: Msg | None) -> tuple[int, str] | None:
    """Why a payload was not stored: JetStream's error code and words; None where it was."""
    if answer is None:
        return 0, "the broker does not answer"
    if _is_status(answer):
        return 0, "the broker has no store for it"
    value = json.loads(answer.data)
    error = value.get("error")
    if error is None:
        return None
    return int(error.get("err_code", 0)), str(error.get("description", error))


def _sequence(answer: Msg | None) -> int:
    return 0 if answer is None else int(json.loads(answer.data).get("seq", 0))

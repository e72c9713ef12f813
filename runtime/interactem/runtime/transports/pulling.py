"""Pulling from a durable consumer: asking for as much as the kernel can use, and holding what came."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from nats.aio.msg import Msg

from interactem.runtime import wire
from interactem.runtime.errors import TransportError
from interactem.runtime.slot import Slot
from interactem.runtime.transports import Delivery
from interactem.runtime.transports.succession import Succession

EXPIRES = 30.0
HEARTBEAT = 5.0
AHEAD_SECONDS = 0.02
"""How far ahead of the kernel a replica pulls: more would be taken from its siblings."""
AHEAD_MOST = 16
AHEAD_BYTES = 4 * 2**20

Publish = Callable[[str, bytes, str], Awaitable[None]]
UnderWay = Callable[[], Awaitable[tuple[int, int]]]
"""Tells the number of the last batch that a consumer's readers were handed, and how many are not settled."""


class Pace:
    """How long the replica takes for a delivery, about. Measured by the replica's thread."""

    def __init__(self) -> None:
        self.seconds = 0.001
        self._given = 0.0

    def taken(self) -> None:
        """The replica comes for the next one."""
        if self._given:
            self.seconds = 0.8 * self.seconds + 0.2 * (time.perf_counter() - self._given)
            self._given = 0.0

    def given(self) -> None:
        self._given = time.perf_counter()


class Pulling:
    """One consumer of an edge, of its messages or of those that are tried again.

    All methods but `took` are the transport's thread's. `publish` sends, `start` runs a coroutine beside, `deliver`
    passes on what came; a delivery's `token` is its reply subject.
    """

    def __init__(
        self,
        edge: int,
        stream: str,
        name: str,
        *,
        retry: bool,
        inbox: str,
        slot: Slot,
        pace: Pace,
        publish: Publish,
        start: Callable[[Any], None],
        deliver: Callable[[Pulling, Delivery], None],
    ) -> None:
        self.inbox = inbox
        self._edge = edge
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
        self._retry = retry
        self._slot = slot
        self._pace = pace
        self._publish = publish
        self._start = start
        self._deliver = deliver
        self._numbers = itertools.count()
        self._asked: dict[str, int] = {}
        self._heard = 0.0
        self._arrived = 0
        self._taken = 0
        self._mean_bytes = 0.0
        self._held: dict[int, tuple[Delivery, float]] = {}
        self._succession: Succession | None = None

    # the replica's thread

    @property
    def held(self) -> int:
        return len(self._held)

    def took(self) -> bool:
        """The kernel has taken a delivery. Returns whether it is time to `ask`."""
        self._taken += 1  # counted apart from what arrived, so that no number is changed by both threads
        return self._queued <= self._ahead // 2

    # the transport's thread

    async def keep_order(self, under_way: UnderWay, ack_wait: float) -> None:
        """Before anything is asked for: pass on nothing before what others were handed and have not settled."""
        self._under_way, self._ack_wait = under_way, ack_wait
        self._succession = Succession(*await under_way())
        self._missing_since = time.monotonic()

    @property
    def _queued(self) -> int:
        return self._arrived - self._taken

    @property
    def _ahead(self) -> int:
        by_time = AHEAD_SECONDS / max(self._pace.seconds, 1e-6)
        by_size = AHEAD_BYTES / max(self._mean_bytes, 1)
        return int(max(1, min(AHEAD_MOST, by_time, by_size)))

    def ask(self) -> None:
        """Ask for what is missing."""
        missing = self._ahead - self._queued - sum(self._asked.values())
        if missing <= 0:
            return
        number = str(next(self._numbers))
        self._asked[number] = missing
        self._heard = time.monotonic()
        request = {"batch": missing, "expires": int(EXPIRES * 1e9), "idle_heartbeat": int(HEARTBEAT * 1e9)}
        self._start(self._publish(self._subject, json.dumps(request).encode(), f"{self.inbox}.{number}"))

    def ask_anew(self) -> None:
        """The connection is new: what was asked before is forgotten."""
        self._asked.clear()
        self.ask()

    async def on_message(self, message: Msg) -> None:
        self._heard = time.monotonic()
        if not message.reply.startswith("$JS.ACK."):
            self._on_status(message)
            return
        for oldest in self._asked:
            self._asked[oldest] -= 1
            if self._asked[oldest] <= 0:
                del self._asked[oldest]
            break
        self._on_delivery(message)

    def _on_status(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status == "100":
            return  # a heartbeat
        self._asked.pop(message.subject.rpartition(".")[2], None)
        # a request that expired is made again at once; one that was refused, with the check that follows
        if status == "408":
            self.ask()

    def _on_delivery(self, message: Msg) -> None:
        metadata = message.metadata
        sequence = metadata.sequence.stream
        self._mean_bytes = 0.8 * self._mean_bytes + 0.2 * len(message.data)
        if self._succession is not None and self._succession.count(metadata.sequence.consumer):
            self._missing_since = time.monotonic()
        if sequence in self._held:
            # handed out a second time while we hold it: the newer reply subject is the one that counts
            held, _ = self._held[sequence]
            self._slot.release(held.token)
            held.token = message.reply
            self._hold(held)
            return
        format = (message.headers or {}).get(wire.HEADER)
        backlog = metadata.num_pending
        stored = metadata.timestamp.timestamp()
        delivery = Delivery(self._edge, message.data, format, message.reply, sequence, self._retry, backlog, stored)
        self._hold(delivery)
        if self._succession is None:
            self._pass_on([delivery])
        else:
            self._pass_on(self._succession.take(delivery, again=metadata.num_delivered > 1))
            self.ask()

    def _pass_on(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._arrived += 1
            self._deliver(self, delivery)

    async def _look_for_missing(self) -> None:
        """What is missing may have been settled after all by whoever held it: nobody will hand it out again then."""
        if self._succession is None:
            return
        self._missing_since = time.monotonic()  # so that this is not asked again meanwhile
        with suppress(TransportError):  # a broker that is away is asked later
            before = set(self._held)
            _, unsettled = await self._under_way()
            if unsettled <= len(before & self._held.keys()):
                self._pass_on(self._succession.clear())

    def _hold(self, delivery: Delivery) -> None:
        self._held[delivery.sequence] = delivery, time.monotonic()
        self._slot.hold(delivery.token)

    def forget(self, delivery: Delivery) -> None:
        """The delivery is answered, or about to be."""
        self._held.pop(delivery.sequence, None)
        if self._succession is not None:
            self._succession.settled(delivery.sequence)
        self._slot.release(delivery.token)

    async def extend(self, period: float) -> None:
        """Called once in each `period`: keep what is held from being handed out again, and ask where no answer came."""
        now = time.monotonic()
        for delivery, since in list(self._held.values()):
            if now - since > period / 2:
                await self._publish(delivery.token, b"+WPI", "")
        order = self._succession
        if order is not None and order.missing and now - self._missing_since > self._ack_wait:
            self._start(self._look_for_missing())
        if self._asked and now - self._heard > 2.5 * HEARTBEAT:
            self._asked.clear()
        self.ask()

"""What goes through the broker beside the messages where these lie in shared memory: who is done with which block.

As a reader: a delivery's blocks are released once its acknowledgement is certain. As a producer: what readers release
is heard, and what nobody says is found out from the broker now and then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from nats.aio.msg import Msg

from interactem.runtime.arena import Arena, Progress, Reader
from interactem.runtime.assignment import Assignment
from interactem.runtime.errors import TransportError
from interactem.runtime.releasing import heard, told
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Delivery
from interactem.runtime.transports.consumers import Consumers
from interactem.runtime.views import Lease, Views

LOOK_SECONDS = 0.1
KEPT_SECONDS = 2.0
"""How often it is said that a kernel keeps a block."""
ASK_SECONDS = 1.0
ASK_PATIENCE = 5.0

Publish = Callable[[str, bytes], Awaitable[None]]


class Sharing:
    """All of it is the transport's thread's."""

    def __init__(
        self,
        assignment: Assignment,
        replica: int,
        arena: Arena | None,
        views: Views,
        consumers: Consumers,
        publish: Publish,
    ) -> None:
        self._names = Names(assignment.run)
        self._replica = replica
        self._arena = arena
        self._views = views
        self._consumers = consumers
        self._publish = publish
        self._outputs = [output for output in assignment.outputs if output.shm and arena is not None]
        self._told_kept = 0.0
        self._asked = 0.0

    @property
    def subjects(self) -> list[str]:
        """Where readers say what they are done with."""
        return [self._names.released(edge, "*") for output in self._outputs for edge in output.edges]

    async def on_released(self, message: Msg) -> None:
        if self._arena is None:
            return
        edge = int(message.subject.split(".")[3])
        free, kept = heard(message.data, self._replica)
        self._arena.keep(kept)
        self._arena.release(edge, free)

    async def keep(self, delivery: Delivery) -> None:
        """Before its acknowledgement: say what the kernel keeps of a delivery."""
        kept = self._views.kept_of(delivery.edge, delivery.leases)
        if kept:
            await self._tell(delivery.edge, kept=kept)

    async def release(self, delivery: Delivery) -> None:
        """Its acknowledgement is certain."""
        kept = {id(lease) for _, lease in self._views.kept}
        free = [lease for lease in delivery.leases if id(lease) not in kept]
        if free:
            await self._tell(delivery.edge, free=free)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for edge, leases in _by_edge(self._views.let_go()).items():
                await self._tell(edge, free=leases)
            now = time.monotonic()
            if now - self._told_kept > KEPT_SECONDS:
                self._told_kept = now
                for edge, leases in _by_edge(self._views.kept).items():
                    await self._tell(edge, kept=leases)
            if self._arena is not None and now - self._asked > ASK_SECONDS:
                await self._look_at_consumers(self._arena)
                self._asked = time.monotonic()

    async def _tell(self, edge: int, free: Iterable[Lease] = (), kept: Iterable[Lease] = ()) -> None:
        await self._publish(self._names.released(edge, self._replica), told(free, kept))

    async def _look_at_consumers(self, arena: Arena) -> None:
        outstanding = arena.outstanding()
        edges = {one.edge for one in outstanding}
        found: dict[Reader, Progress] = {}
        for output in self._outputs:
            for edge, parts in zip(output.edges, output.edge_partitions, strict=True):
                for part in range(parts if edge in edges else 0):
                    progress = await self._progress(output.stream, edge, part)
                    if progress is not None:
                        found[edge, part] = progress
        arena.settle(outstanding, found)

    async def _progress(self, stream: int, edge: int, part: int) -> Progress | None:
        try:
            info = await self._consumers.info(stream, edge, part, ASK_PATIENCE)
        except TransportError:
            return None  # a broker that is away for a while; whoever stores something says so if it is for good
        if info is None:
            return None
        idle = info["num_pending"] + info["num_ack_pending"] == 0
        return Progress(int(info["ack_floor"]["stream_seq"]), idle)


def _by_edge(leases: Iterable[tuple[int, Lease]]) -> Mapping[int, list[Lease]]:
    found: dict[int, list[Lease]] = {}
    for edge, lease in leases:
        found.setdefault(edge, []).append(lease)
    return found

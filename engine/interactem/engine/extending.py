"""What a replica holds is kept from being handed out again while its kernel keeps the whole interpreter to itself.

A replica sees to that by itself, from a thread that no kernel can block, unless the kernel is a call that does not let
go of the interpreter, such as a long regular expression. The replica then stops counting up in its crash slot, and the
supervisor steps in, who can read there what is held. Not for a process that was stopped: what that holds moves on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nats.aio.client import Client
from nats.errors import Error as NatsError

from interactem.engine.permissions import is_own_delivery
from interactem.engine.plan import ACK_WAIT, Plan
from interactem.engine.surroundings import Surroundings
from interactem.engine.tending import TendedReplica
from interactem.runtime import slot

LOOK_SECONDS = ACK_WAIT / 4
"""More often than a replica counts, and often enough to be in time after two looks."""


class Extender:
    """Looks after the replicas that run as processes of this machine."""

    def __init__(self, plan: Plan, around: Surroundings, client: Client, replicas: Iterable[TendedReplica]) -> None:
        self._plan = plan
        self._around = around
        self._client = client
        self._replicas = () if plan.in_containers else tuple(replicas)
        self._seen: dict[tuple[int, int], tuple[int, int]] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for replica in self._replicas:
                with suppress(NatsError, OSError):  # between two connections; or it has just ended
                    await self._look_after(replica)

    async def _look_after(self, replica: TendedReplica) -> None:
        place = self._around.slot(replica.operator, replica.index)
        if replica.handle is None or not (beats := slot.beats(place)):
            return
        now = replica.incarnation, beats
        before, self._seen[replica.key] = self._seen.get(replica.key), now
        if now != before or _is_stopped(replica.handle.id):
            return
        for reply in slot.read(place)[1]:
            if is_own_delivery(self._plan, replica.operator, replica.index, reply):
                await self._client.publish(reply, b"+WPI")


def _is_stopped(pid: str) -> bool:
    """Whether a signal has stopped the process, or it has ended. Where there is no /proc nobody can tell: it is."""
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] in "TtZX"

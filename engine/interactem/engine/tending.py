"""The tending of replicas: each is started, started again when it dies, and cleared up after."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from interactem.engine.decisions import DOES_NOT_LOAD, Death, after_death, is_kill
from interactem.engine.ends import Ends
from interactem.engine.errors import ReplicaError
from interactem.engine.launchers import Adopted, Exit, Handle
from interactem.engine.logs import ReplicaLog, last_lines
from interactem.engine.permissions import is_own_delivery
from interactem.engine.plan import Plan, PlannedOperator
from interactem.engine.progress import Tally
from interactem.engine.surroundings import Surroundings
from interactem.runtime import slot
from interactem.runtime.connections import Storer
from interactem.runtime.transports import Store

MOST_BLAMED = 8_192
"""Of so many messages that were in flight when a process died it is noted, so that the note fits into a message."""
RENEW_SECONDS = 5.0
"""How long a replica may work on what it has before new code takes its place."""


@dataclass(slots=True)
class TendedReplica:
    """A replica as its run sees it, through all its incarnations. `handle` is None while none of them runs."""

    operator: PlannedOperator
    index: int
    handle: Handle | None = None
    incarnation: int = 0
    deaths: int = 0
    """In a row, without any progress."""
    kills: dict[tuple[int, str], int] = field(default_factory=dict)
    """How often it was killed by somebody during a message, by the message's edge and id."""
    log: ReplicaLog | None = None
    renewing: bool = False
    """Whether it was asked to end because there is new code for it."""
    new_code: asyncio.Event = field(default_factory=asyncio.Event)
    begun: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.operator.key}.{self.index}"

    @property
    def key(self) -> tuple[int, int]:
        return self.operator.index, self.index

    def note(self, tally: Tally) -> dict[str, Any]:
        """What another supervisor has to know that takes our place."""
        kills = [[*message, times] for message, times in self.kills.items()]
        return {"deaths": self.deaths, "kills": kills, "past": tally.past(self.index)}

    def adopt(self, adopted: Adopted, tally: Tally) -> None:
        """Go on where an earlier supervisor stopped, with a replica that it has started."""
        self.handle = adopted.handle
        self.begun = time.monotonic() - adopted.seconds
        self.incarnation = adopted.incarnation
        self.deaths = adopted.note["deaths"]
        self.kills = {(edge, message): times for edge, message, times in adopted.note["kills"]}
        tally.take_up(self.index, adopted.note["past"])

    def bury(self, exit: Exit, call: slot.Call | None, *, asked: bool = False) -> Death:
        """Count a death, in a call of the kernel or outside of one. Returns what follows from it.

        `asked` says that it was asked to end in the call, and did.
        """
        kills = 0
        if call is not None and (asked or is_kill(exit)):
            name = (call.edge, call.message_id)
            kills = self.kills[name] = self.kills.get(name, 0) + 1
        timeout = self.operator.assignment.timeout
        death = after_death(
            exit,
            in_call=call is not None,
            kills=kills,
            deaths=self.deaths,
            timeout=timeout,
            attempts=self.operator.assignment.max_attempts,
            asked=asked,
        )
        self.deaths += 1
        return death


class Tender:
    """Tends the replicas of one run."""

    def __init__(
        self,
        plan: Plan,
        around: Surroundings,
        client: Client,
        storer: Storer,
        ends: Ends,
        tallies: Mapping[int, Tally],
    ) -> None:
        self._plan = plan
        self._names = plan.names
        self._around = around
        self._client = client
        self._storer = storer
        self._ends = ends
        self._tallies = tallies

    async def tend(self, replica: TendedReplica) -> None:
        """Start a replica and restart it until it is done.

        Raises `LaunchError` where it cannot be started, and `ReplicaError` when it is given up.
        """
        operator = replica.operator
        tally = self._tallies[operator.index]
        hide = self._around.connections.mask(operator.key).line
        replica.log = ReplicaLog(self._around.folder.log(operator.key, replica.index), hide)
        while True:
            handle = replica.handle or await self._start(replica, tally, replica.log)
            exit = await handle.wait()
            replica.handle = None
            if tally.progress_of(replica.index):
                replica.deaths = 0
            seconds = round(time.monotonic() - replica.begun, 3)
            if await self._ends.is_finished(self._storer, *replica.key):  # and then it does not matter how it ended
                self._record(replica, "replica", state="stopped", seconds=seconds)
                return
            delay = await self._after(replica, exit, seconds)
            replica.incarnation += 1
            await asyncio.sleep(delay)

    async def _start(self, replica: TendedReplica, tally: Tally, log: ReplicaLog) -> Handle:
        replica.begun = time.monotonic()
        # only now: what an incarnation said last may come after its end
        tally.close(replica.index)
        launch = self._around.launch(
            self._plan.run,
            replica.operator,
            replica.index,
            incarnation=replica.incarnation,
            log=log,
            note=replica.note(tally),
        )
        replica.handle = await self._around.launcher.start(launch)
        self._record(replica, "replica", state="starting", id=replica.handle.id)
        return replica.handle

    def renew(self, replica: TendedReplica) -> None:
        """Start it again: there is new code for it. What it is at comes to its end first, if that is soon."""
        replica.new_code.set()
        handle = replica.handle
        if handle is not None:
            replica.renewing = True
            handle.terminate()
            asyncio.get_running_loop().call_later(RENEW_SECONDS, handle.kill)

    async def clear_up(self, replica: TendedReplica) -> None:
        """Hand back what the replica held that died with an earlier supervisor."""
        await self._hand_back(replica, slot.read(self._around.slot(replica.operator, replica.index))[1])

    async def _after(self, replica: TendedReplica, exit: Exit, seconds: float) -> float:
        """Clear up after a death. Returns the seconds until its next start; raises `ReplicaError` if there is none."""
        place = self._around.slot(replica.operator, replica.index)
        calls, held = slot.read(place)
        call = calls[0] if calls else None
        renewing, replica.renewing = replica.renewing, False
        replica.new_code.clear()
        if renewing and (exit.ok or is_kill(exit)):
            self._record(replica, "replica", state="stopped", reason="there is new code", seconds=seconds)
            await self._hand_back(replica, held)
            return 0.0
        death = replica.bury(exit, call, asked=exit.ok and slot.was_asked(place))
        message = None if call is None else call.message_id
        told = {"reason": death.reason, "message": message, "restart": death.restart, "seconds": seconds}
        self._record(replica, "replica", state="failed", **told)
        if death.attempt and call is not None:
            await self._blame(replica, calls, death.error)
        await self._hand_back(replica, held)
        if not death.restart:
            log = last_lines(self._around.folder.log(replica.operator.key, replica.index))
            error = ReplicaError(replica.name, death.reason, log)
            if exit.code != DOES_NOT_LOAD or replica.operator.operator not in self._around.programs:
                raise error
            self._around.tell(f"{error}\n    it starts again when its run.py changes")
            await replica.new_code.wait()
        return death.delay

    async def _blame(self, replica: TendedReplica, calls: Sequence[slot.Call], error: str) -> None:
        """A process has ended in a message's kernel: an attempt at that message, or at all that were in flight."""
        call, *others = calls[:MOST_BLAMED]
        for one in (call, *others):
            replica.kills.pop((one.edge, one.message_id), None)
        crash: dict[str, Any] = {"edge": call.edge, "id": call.message_id, "attempts": call.attempt, "error": error}
        told: dict[str, Any] = {"message": call.message_id, "attempts": call.attempt, "error": error}
        name = call.message_id
        if others:
            crash["others"] = [[one.edge, one.message_id, one.attempt] for one in others]
            told["in_flight"] = len(calls)
            name = " ".join(one.message_id for one in (call, *others))  # not under that of a crash that it has alone
        subject = self._names.crash(replica.operator.index, call.edge, name)
        await self._storer.store(Store(subject, json.dumps(crash).encode()))
        self._record(replica, "failure", **told)

    async def _hand_back(self, replica: TendedReplica, held: list[str]) -> None:
        """Deliveries that a dead replica held go to others at once, not when their time is up."""
        own = [reply for reply in held if is_own_delivery(self._plan, replica.operator, replica.index, reply)]
        with suppress(NatsError, OSError):  # between two connections: their time will be up
            for reply in own:
                await self._client.publish(reply, b"-NAK")

    def _record(self, replica: TendedReplica, kind: str, **details: Any) -> None:
        self._around.events.record(kind, operator=replica.operator.key, replica=replica.index, **details)

"""The end of the stream, on its way down the graph.

An operator is told to finish when everything before it is done and nothing of what it was sent is left. All that is
known about it is in the broker, so that another supervisor can go on from there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from interactem.engine import streams
from interactem.engine.decisions import about_to_end, has_ended, is_drained
from interactem.engine.heard import read_finished
from interactem.engine.plan import Plan, PlannedOperator, consumers
from interactem.engine.progress import Tally
from interactem.runtime.connections import Storer
from interactem.runtime.transports import Store

POLL_SECONDS = 0.25
ENDING_SECONDS = 0.02
NEARLY_DRAINED = 64
"""Batches that are left where the end is looked for often."""


@dataclass(frozen=True, slots=True)
class Draining:
    """Why a run is drained, and how long it may be: so many seconds, until then, as seconds since 1970."""

    reason: str = ""
    grace: float | None = None
    until: float = 0.0

    @classmethod
    def begin(cls, reason: str, grace: float | None) -> Draining:
        return cls(reason, grace, time.time() + (grace or 0.0))


class Ends:
    """Which replicas are done and which operators were told to finish. `tallies` hear the last words of the former."""

    def __init__(self, plan: Plan, tallies: Mapping[int, Tally]) -> None:
        self.finished: set[tuple[int, int]] = set()
        """The replicas that are done, as (operator, replica)."""
        self.told: set[int] = set()
        self.cut_short = False
        """Whether a replica is done only because it was drained."""
        self._drained: set[int] = set()
        self._plan = plan
        self._names = plan.names
        self._tallies = tallies
        self._outstanding: dict[int, int] = {}
        self._closed: set[int] = set()  # operators that know that nothing more is sent to them
        self._changed = asyncio.Event()

    def attach(self, stored: Mapping[str, bytes]) -> Draining | None:
        """Go on where an earlier supervisor stopped, with its replicas: nothing of what was ended begins again.

        `stored` are the broker's records, by subject. Returns how the run is drained, if it is.
        """
        draining = None
        for subject, payload in stored.items():
            parts = subject.split(".")
            if parts[-1] == "finished":
                self.hear(int(parts[3]), int(parts[4]), payload)
            elif parts[-1] == "finish":
                self.told.add(int(parts[3]))
            elif parts[-1] == "closed":
                self._closed.add(int(parts[3]))
            elif parts[-1] == "drain":
                draining = Draining(**json.loads(payload))
        return draining

    async def take_up(self, storer: Storer, stored: Mapping[str, bytes]) -> None:
        """Go on with a run that was ended: with all that has ended, but for what was only drained.

        `stored` are the broker's records, by subject.
        """
        kinds = (".finished", ".finish", ".drain", ".closed")
        ends = {subject: subject.split(".") for subject in stored if subject.endswith(kinds)}
        again: set[int] = set()
        for subject, parts in ends.items():
            if parts[-1] == "finished" and ((ended := read_finished(stored[subject])) is None or ended[0]):
                again.add(int(parts[3]))
        again = self._plan.below(again)
        done = {(int(parts[3]), int(parts[4])) for parts in ends.values() if parts[-1] == "finished"}
        if any(not has_ended(o, done) or o.index in again for o in self._plan.operators):
            again |= {o.index for o in self._plan.operators if o.assignment.is_side_input}
        for subject, parts in ends.items():
            operator = int(parts[3])
            if operator in again or parts[-1] in ("drain", "closed"):
                finished = parts[-1] == "finished"
                stream = self._names.record_stream if finished else self._names.control_stream(operator)
                await streams.purge(storer, stream, subject)
            elif parts[-1] == "finished":
                self.hear(operator, int(parts[4]), stored[subject])
            else:
                self.told.add(operator)

    def hear(self, operator: int, replica: int, record: bytes) -> None:
        """A replica says that it is done; what does not say so is nothing."""
        ended = read_finished(record)
        if ended is None:
            return
        drained, counts = ended
        if drained:
            self.cut_short = True
            self._drained.add(operator)
        if counts is not None:
            self._tallies[operator].hear(replica, counts)
        self.finished.add((operator, replica))
        self._changed.set()

    async def is_finished(self, storer: Storer, operator: int, replica: int) -> bool:
        """Whether a replica whose process has ended was done. What it said of it may still be on its way."""
        if (operator, replica) not in self.finished:
            subject = self._names.record(operator, replica, "finished")
            with suppress(KeyError):
                self.hear(operator, replica, await storer.last_one(self._names.record_stream, subject))
        return (operator, replica) in self.finished

    def has_ended(self, operator: PlannedOperator) -> bool:
        return has_ended(operator, self.finished)

    def is_cut_short(self, operator: PlannedOperator) -> bool:
        """Whether an operator's stream ends only because the run is drained, and goes on when that is resumed."""
        return operator.index in self._plan.below(self._drained)

    def waiting(self, operator: PlannedOperator) -> int:
        """How many batches were left for it when they were last counted."""
        return sum(self._outstanding.get(entry.edge, 0) for entry in operator.assignment.inputs)

    async def drain(self, storer: Storer, draining: Draining) -> None:
        """Tell all sources that still run to come to an end."""
        told = json.dumps(asdict(draining)).encode()
        for operator in self._plan.operators:
            if operator.assignment.is_source and not self.has_ended(operator):
                await storer.store(Store(self._names.control(operator.index, "drain"), told))

    async def follow(self, storer: Storer) -> None:
        """Tell each operator to finish once everything before it is done and worked off, until all are done."""
        everything = consumers(self._plan)
        while not all(self.has_ended(operator) for operator in self._plan.operators):
            ending = about_to_end(self._plan, self.finished, self.told)
            chosen = [c for c in everything if c.operator in {o.index for o in ending}] if ending else everything
            self._outstanding |= await streams.outstanding(storer, chosen)
            for operator in ending:
                if operator.index not in self._closed:  # whoever gathers messages need not wait for more
                    await storer.store(Store(self._names.control(operator.index, "closed"), b"{}"))
                    self._closed.add(operator.index)
                if is_drained(self._outstanding, operator):
                    told = json.dumps({"drained": self.is_cut_short(operator)}).encode()
                    await storer.store(Store(self._names.control(operator.index, "finish"), told))
                    self.told.add(operator.index)
            left = min((self.waiting(operator) for operator in ending), default=NEARLY_DRAINED)
            with suppress(TimeoutError):
                async with asyncio.timeout(ENDING_SECONDS if left < NEARLY_DRAINED else POLL_SECONDS):
                    await self._changed.wait()
            self._changed.clear()

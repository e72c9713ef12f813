"""Low watermarks: below which position of each source nothing can come any more.

Operators with an effect remember the ids that they have applied; without a watermark that memory would grow for ever.
A wave finds the watermark. It begins with the positions that the sources have stored, since no source goes back behind
those. Everything before them is in the sources' streams by then. When an operator has settled all that was in its
streams, and all of that which had to be tried again, whatever it made from it is in its own streams, and so on down
the graph. What a wave finds at an operator holds there for ever after.

A replica that is stopped for long (`SIGSTOP`) and then goes on may store a second time what another one has made in
the meantime. Therefore a watermark is told only some time after it was found.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from interactem.engine import streams
from interactem.engine.heard import read_finished
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime import checkpoint
from interactem.runtime.connections import Storer
from interactem.runtime.ids import source_name
from interactem.runtime.transports import Store

WAVE_SECONDS = 2.0
LOOK_SECONDS = 0.5
LAG_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Found:
    """A watermark that may be told to an operator from `due` on."""

    due: float
    operator: int
    positions: dict[str, int]


class Watermarks:
    """Waves through one run's graph, one after the other."""

    def __init__(self, plan: Plan, storer: Storer, *, lag: float = LAG_SECONDS) -> None:
        self._plan = plan
        self._storer = storer
        self._lag = lag
        self._found: list[Found] = []

    async def run(self) -> None:
        """For as long as the run goes on."""
        known: tuple[dict[str, int], list[str]] = {}, []
        while True:
            ended = await self.ended()
            positions = await self.positions()
            if (positions, ended) != known:
                await self.wave(positions, ended)
                known = positions, ended
            await self._tell()
            await asyncio.sleep(WAVE_SECONDS)

    async def positions(self) -> dict[str, int]:
        """What each source, by the name that is in its messages' ids, will never send again."""
        names = self._plan.names
        sources = [operator for operator in self._plan.operators if operator.assignment.is_source]
        subjects = [names.record(operator.index, "*", "checkpoint") for operator in sources]
        found: dict[str, int] = {}
        for subject, payload in (await self._storer.last(names.record_stream, subjects)).items():
            operator, replica = map(int, subject.split(".")[3:5])
            place = checkpoint.decode(payload)
            found[source_name(self._plan.operators[operator].key, replica, place.epoch)] = place.position
        return found

    async def ended(self) -> list[str]:
        """The replicas of sources that have sent all that they will, each `operator~replica`: not if only drained."""
        names = self._plan.names
        sources = [operator for operator in self._plan.operators if operator.assignment.is_source]
        subjects = [names.record(operator.index, "*", "finished") for operator in sources]
        found = await self._storer.last(names.record_stream, subjects)
        read = {subject: read_finished(payload) for subject, payload in found.items()}
        ended = [subject for subject, record in read.items() if record is not None and not record[0]]
        places = sorted(tuple(map(int, subject.split(".")[3:5])) for subject in ended)
        return [f"{self._plan.operators[operator].key}~{replica}" for operator, replica in places]

    async def wave(self, positions: dict[str, int], ended: Sequence[str] = ()) -> None:
        """Follow everything before these positions down the graph; all operators hear when it has come through."""
        marks: dict[int, int] = {}
        for operator in self._plan.operators:  # in the graph's order
            if operator.assignment.inputs:
                await self._settled(operator, marks)
                self._found.append(Found(time.monotonic() + self._lag, operator.index, positions))
                if ended:
                    told = json.dumps({"sources": list(ended)}).encode()
                    await self._storer.store(Store(self._plan.names.control(operator.index, "ended"), told))
                await self._tell()
            for output in operator.assignment.outputs:
                if output.edges:
                    marks[output.stream] = await streams.last_sequence(
                        self._storer, self._plan.names.stream(output.stream)
                    )

    async def _settled(self, operator: PlannedOperator, marks: dict[int, int]) -> None:
        names = self._plan.names
        retries = names.retry_stream(operator.index)
        for entry in operator.assignment.inputs:
            consumers = [names.consumer(entry.edge, part) for part in range(entry.partitions)]
            for consumer in consumers:
                await self._past(names.stream(entry.stream), consumer, marks[entry.stream])
            # each failed attempt is stored anew, behind those that wait
            rounds = operator.assignment.max_attempts
            while True:
                mark = await streams.last_sequence(self._storer, retries)
                rounds -= 1
                empty = [await self._past(retries, consumer, mark) for consumer in consumers]
                if all(empty) or rounds == 0:
                    break

    async def _past(self, stream: str, consumer: str, mark: int) -> bool:
        """Wait until everything up to `mark` is settled. Whether the consumer had nothing left at all."""
        while True:
            info = await streams.consumer_info(self._storer, stream, consumer)
            if info["num_pending"] + info["num_ack_pending"] == 0:
                return True
            if info["ack_floor"]["stream_seq"] >= mark:
                return False
            await asyncio.sleep(LOOK_SECONDS)

    async def _tell(self) -> None:
        now = time.monotonic()
        due = {found.operator: found.positions for found in self._found if found.due <= now}  # the latest for each
        self._found = [found for found in self._found if found.due > now]
        for operator, positions in due.items():
            subject = self._plan.names.control(operator, "watermarks")
            await self._storer.store(Store(subject, json.dumps(positions).encode()))

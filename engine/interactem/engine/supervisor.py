"""Runs a plan: starts the replicas, restarts those that die, and carries the end of the stream down the graph.

Everything that must outlast it is in the broker and in the run folder, so that another supervisor can go on from there.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from interactem.engine import streams
from interactem.engine.broker import RunBroker
from interactem.engine.decisions import ENDED, State, restart_delay
from interactem.engine.ends import Draining, Ends
from interactem.engine.errors import BrokerError, EngineError
from interactem.engine.extending import Extender
from interactem.engine.gpus import GpuWatch, Place
from interactem.engine.heard import read_counts, read_events
from interactem.engine.plan import Plan, PlannedOperator
from interactem.engine.progress import OperatorProgress, Tally
from interactem.engine.recomputing import recompute
from interactem.engine.relaying import Relay
from interactem.engine.summaries import packed_snapshot
from interactem.engine.surroundings import Surroundings
from interactem.engine.tending import TendedReplica, Tender
from interactem.engine.watermarks import Watermarks
from interactem.runtime.connections import Storer, connect, flush
from interactem.runtime.errors import TransportError
from interactem.runtime.transports import Store

OBSERVE_SECONDS = 0.25
DISK_SECONDS = 1.0
DISK_RESERVE = 16 * 2**20
STOP_SECONDS = 2.0
"""How long replicas may take to come to an end of what they are at, when the run is over."""
GRACE_SECONDS = 30.0
"""How long a run may drain that was not asked by a person in front of it."""
BROKER_LIFE = 1.0
BROKER_DEATHS = 20
"""A broker that dies so often, each time within so many seconds, is not started again."""

Observer = Callable[[State, list[OperatorProgress]], None]
"""Called a few times a second with the run's state and numbers."""


class Supervisor:
    """One execution of a plan, or what was left of it by an earlier supervisor."""

    def __init__(
        self,
        plan: Plan,
        around: Surroundings,
        observe: Observer = lambda state, rows: None,
    ) -> None:
        self.plan = plan
        self.state: State = "starting"
        self.reason = ""
        self._around = around
        self._observe = observe
        self._names = plan.names
        self._tallies = {operator.index: Tally() for operator in plan.operators}
        self._gpus = GpuWatch(plan.run, self._pids)
        self._replicas = [TendedReplica(o, index) for o in plan.operators for index in range(o.replicas)]
        self._adopt()
        self._dead: dict[int, int] = {}
        self._ends = Ends(plan, self._tallies)
        self._draining: Draining | None = None
        self._over = asyncio.Event()
        self._client: Client | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._tending: set[asyncio.Task[None]] = set()

    # for its caller

    @property
    def dead(self) -> int:
        """How many dead letters there are, once the run has ended."""
        return sum(self._dead.values())

    async def run(self) -> State:
        """Until the run has ended; returns `completed`, `stopped` or `failed`. What it started is gone by then."""
        try:
            self._record_beginning()
            self._keep(self._begin())
            await self._over.wait()
        finally:
            await self._clean_up()
        return self.state

    def drain(self, reason: str = "", *, grace: float | None = None) -> None:
        """Sources stop; what is under way is worked off; then the run is `stopped`, and can be resumed.

        It is stopped at once if that takes longer than `grace` seconds.
        """
        if self._draining is None and self.state not in ENDED:
            self._drain(Draining.begin(reason, grace))

    def stop(self, reason: str = "") -> None:
        """End now. What was not worked off stays in the broker's store, for `resume`."""
        if self.state not in ENDED:
            self.reason = reason
            self._end("stopped")

    def renew(self, operator: str) -> None:
        """Start an operator's replicas again, as there is new code for it. By its name in the catalog."""
        if self.state in ("running", "draining"):  # before that they are going to start with it anyway
            for replica in self._replicas:
                if replica.operator.operator == operator and replica.key not in self._ends.finished:
                    self._tender.renew(replica)

    # beginning and end

    def _adopt(self) -> None:
        """The replicas of an earlier supervisor are ours."""
        for replica in self._replicas:
            adopted = self._around.adopted.get((replica.operator.key, replica.index))
            if adopted is not None:
                replica.adopt(adopted, self._tallies[replica.operator.index])

    def _record_beginning(self) -> None:
        record, url = self._around.events.record, self._around.address.url
        if not self._around.attached:
            record("state", state="starting", reason="", broker=url)
            return
        record("attached", supervisor=os.getpid(), broker=url)
        for replica in self._replicas:
            if replica.handle is not None:
                operator, index = replica.operator.key, replica.index
                record("replica", operator=operator, replica=index, state="running", id=replica.handle.id)

    async def _begin(self) -> None:
        if self._around.broker is not None:
            self._keep(self._tend_broker(self._around.broker))
        await self._set_up()
        self._to("running")
        if self._draining is not None:
            self._begin_to_drain(self._draining)
        for replica in self._replicas:
            if replica.key not in self._ends.finished or replica.handle is not None:
                self._tending.add(self._keep(self._tender.tend(replica)))
        self._keep(self._follow())
        self._keep(Watermarks(self.plan, self._storer).run())
        self._keep(self._show())
        self._keep(self._gpus.run())
        self._keep(self._watch_disk())

    async def _set_up(self) -> None:
        self._around.lay_down(self.plan)
        name = f"{self.plan.run} supervisor"
        self._client = await connect(
            self._around.address, name, reconnected=self._reconnected, denied=lambda error: self._fail(str(error))
        )
        self._storer = Storer(self._client)
        await self._storer.open()
        await streams.create(self._storer, self.plan, self._around.store_bytes)
        if self._around.make_arenas(self.plan):
            await recompute(self._storer, self.plan, self._around.events.record)
        await self._client.subscribe(self._names.record("*", "*", "finished"), cb=self._on_finished)
        await self._client.subscribe(self._names.report("*", "*"), cb=self._on_report)
        await self._client.subscribe(self._names.events("*", "*"), cb=self._on_events)
        await flush(self._client)
        await self._store_assignments()
        await Relay(self.plan, self._client, self._storer).begin()
        self._tender = Tender(self.plan, self._around, self._client, self._storer, self._ends, self._tallies)
        self._keep(Extender(self.plan, self._around, self._client, self._replicas).run())
        for replica in self._replicas:
            if replica.handle is None:
                await self._tender.clear_up(replica)

    def _reconnected(self) -> None:
        if hasattr(self, "_storer"):
            self._storer.resend()

    async def _store_assignments(self) -> None:
        """What replicas are told; what an earlier supervisor stored, and live parameters, stay."""
        finished = self._names.record("*", "*", "finished")
        stored = await streams.controls(self._storer, self.plan)
        stored |= await self._storer.last(self._names.record_stream, [finished])
        for operator in self.plan.operators:
            for kind, value in (
                ("assignment", operator.assignment.to_value()),
                ("parameters", operator.parameters),
            ):
                subject = self._names.control(operator.index, kind)
                if subject not in stored:
                    await self._storer.store(Store(subject, json.dumps(value).encode()))
        if not self._around.attached:
            await self._ends.take_up(self._storer, stored)
        elif (draining := self._ends.attach(stored)) is not None and self._draining is None:
            self._drain(draining)

    async def _clean_up(self) -> None:
        self._over.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        handles = [replica.handle for replica in self._replicas if replica.handle is not None]
        for handle in handles:
            handle.terminate()
        if handles:
            await asyncio.wait([asyncio.ensure_future(handle.wait()) for handle in handles], timeout=STOP_SECONDS)
        await self._around.launcher.close()
        for replica in self._replicas:
            replica.handle = None
            if replica.log is not None:
                replica.log.close()
        self._show_once()
        await self._leave_broker()
        self._around.events.record("cleaned up", state=self.state, replicas=len(handles))

    async def _leave_broker(self) -> None:
        if self._client is None:
            return
        with suppress(EngineError, TransportError, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                if self.state != "completed":
                    self._dead = await streams.dead_letters(self._storer, self.plan)
                elif not self.dead and self._around.broker is None:
                    await streams.remove(self._storer, self.plan)
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._client.close()

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, EngineError | TransportError | OSError):
            self._fail(str(error))
        else:
            self._around.events.record("error", traceback="".join(traceback.format_exception(error)))
            self._fail(f"{error!r}; this is an error of interactem itself, and events.jsonl has its traceback")

    def _to(self, state: State) -> None:
        if state != self.state and self.state not in ENDED:
            self.state = state
            self._around.events.record("state", state=state, reason=self.reason)

    def _end(self, state: State) -> None:
        self._to(state)
        self._over.set()

    def _fail(self, reason: str) -> None:
        if self.state not in ENDED:
            self.reason = reason
            self._end("failed")

    # the broker

    async def _tend_broker(self, broker: RunBroker) -> None:
        deaths = 0
        while True:
            begun = time.monotonic()
            code = await broker.wait()
            deaths = deaths + 1 if time.monotonic() - begun < BROKER_LIFE else 0
            self._around.events.record("broker", state="died", code=code)
            if deaths >= BROKER_DEATHS:
                raise BrokerError(f"the broker died {deaths} times, each time as soon as it served", broker.log)
            await asyncio.sleep(restart_delay(deaths, BROKER_LIFE))
            begun = time.monotonic()
            await broker.restart()
            self._around.events.record("broker", state="restarted", seconds=round(time.monotonic() - begun, 3))

    async def _watch_disk(self) -> None:
        """Fail before the disk is full, while what is stored can still be resumed."""
        while True:
            free = shutil.disk_usage(self._around.folder.path).free
            if free < DISK_RESERVE:
                raise BrokerError(
                    f"the disk of {self._around.folder.path} is full ({free / 2**20:.0f} MiB left); nothing is lost: "
                    f"make room, then: interactem pipeline resume {self.plan.run}"
                )
            await asyncio.sleep(DISK_SECONDS)

    # the end of the stream

    def _drain(self, draining: Draining) -> None:
        self._draining = draining
        self.reason = draining.reason
        if draining.grace is not None:
            words = f"{draining.reason}; it was not drained within {draining.grace:g} s"
            left = max(0.0, draining.until - time.time())
            asyncio.get_running_loop().call_later(left, self.stop, words.removeprefix("; "))
        if self.state == "running":
            self._begin_to_drain(draining)

    def _begin_to_drain(self, draining: Draining) -> None:
        self._to("draining")
        self._keep(self._ends.drain(self._storer, draining))

    async def _follow(self) -> None:
        """When all replicas are done: the run has ended when their processes have, and dead letters are counted."""
        await self._ends.follow(self._storer)
        self._dead = await streams.dead_letters(self._storer, self.plan)
        if self._tending:
            await asyncio.wait(self._tending, timeout=STOP_SECONDS)
        self._end("stopped" if self._ends.cut_short else "completed")

    async def _on_finished(self, message: Msg) -> None:
        parts = message.subject.split(".")
        self._ends.hear(int(parts[3]), int(parts[4]), message.data)

    # what is seen of it

    async def _on_report(self, message: Msg) -> None:
        operator, replica = map(int, message.subject.split(".")[3:5])
        if (counts := read_counts(message.data)) is not None:
            self._tallies[operator].hear(replica, counts)

    async def _on_events(self, message: Msg) -> None:
        operator, replica = map(int, message.subject.split(".")[3:5])
        key = self.plan.operators[operator].key
        for kind, details in read_events(message.data):
            self._around.events.record(kind, operator=key, replica=replica, **details)

    async def _show(self) -> None:
        while True:
            rows = self._show_once()
            with suppress(NatsError, OSError):  # between two connections nobody listens
                if self._client is not None:
                    await self._client.publish(self._names.numbers, packed_snapshot(self.plan, self.state, rows))
            await asyncio.sleep(OBSERVE_SECONDS)

    def _show_once(self) -> list[OperatorProgress]:
        rows = self.progress()
        self._observe(self.state, rows)
        return rows

    def _pids(self) -> dict[int, Place]:
        """The replicas by the process ids that they have named: their own, outside of containers."""
        if self.plan.in_containers:
            return {}
        return {self._tallies[r.key[0]].of(r.index).pid: r.key for r in self._replicas if r.handle is not None}

    def progress(self) -> list[OperatorProgress]:
        now = time.monotonic()
        return [self._progress_of(operator, now) for operator in self.plan.operators]

    def _progress_of(self, operator: PlannedOperator, now: float) -> OperatorProgress:
        tally = self._tallies[operator.index]
        replicas = [replica for replica in self._replicas if replica.operator is operator]
        each = tuple(
            tally.replica(
                replica.index,
                now,
                running=replica.handle is not None,
                restarts=replica.incarnation,
                source=not operator.assignment.inputs,
                gpu=self._gpus.uses.get(replica.key),
            )
            for replica in replicas
        )
        return OperatorProgress(
            name=operator.key,
            replicas=operator.replicas,
            running=sum(replica.handle is not None for replica in replicas),
            received=tally.total("received"),
            sent=tally.total("sent"),
            rate=sum(replica.rate for replica in each),
            waiting=self._ends.waiting(operator),
            retried=tally.total("retried"),
            # a replica that died may have told of a letter twice, or not at all: they are counted at the end
            dead=self._dead.get(operator.index, tally.total("dead")),
            restarts=sum(replica.incarnation for replica in replicas),
            state=self._state_of(operator, tally.heard),
            each=each,
        )

    def _state_of(self, operator: PlannedOperator, reported: bool) -> str:
        if self._ends.has_ended(operator):
            return "stopped"
        if operator.index in self._ends.told or (self._draining is not None and operator.assignment.is_source):
            return "draining"
        return "running" if reported else "starting"

"""Runs a plan: starts the replicas, restarts those that die, and carries the end of the stream down the graph.

Everything that must outlast it is in the broker and in the run folder, so that another supervisor can go on from there.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
from nats.aio.client import Client
from nats.aio.msg import Msg

from interactem.engine import streams
from interactem.engine.broker import EmbeddedBroker
from interactem.engine.decisions import State, about_to_end, after_death, has_ended, is_drained
from interactem.engine.errors import BrokerError, EngineError
from interactem.engine.folders import EventLog, RunFolder
from interactem.engine.launchers import Exit, Handle, Launch, Launcher
from interactem.engine.plan import Plan, PlannedOperator, consumers
from interactem.engine.progress import OperatorProgress, Rate, Tally
from interactem.engine.watermarks import Watermarks
from interactem.runtime import slot
from interactem.runtime.connections import Address, Storer, connect
from interactem.runtime.errors import TransportError
from interactem.runtime.transports import Store

POLL_SECONDS = 0.25
ENDING_SECONDS = 0.02
OBSERVE_SECONDS = 0.25
DISK_SECONDS = 1.0
DISK_RESERVE = 16 * 2**20
STOP_SECONDS = 5.0
GRACE_SECONDS = 30.0

Observer = Callable[[State, list[OperatorProgress]], None]
"""Called a few times a second with the run's state and numbers."""


@dataclass(slots=True)
class _Replica:
    operator: PlannedOperator
    index: int
    handle: Handle | None = None
    incarnation: int = 0
    deaths: int = 0
    kills: dict[tuple[int, str], int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.operator.key}.{self.index}"

    @property
    def key(self) -> tuple[int, int]:
        return self.operator.index, self.index


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a supervisor acts with. `interpreters` has each operator's Python, by its name in the catalog."""

    folder: RunFolder
    launcher: Launcher
    address: Address
    interpreters: Mapping[str, Path]
    events: EventLog
    store_bytes: int
    broker: EmbeddedBroker | None = None


class Supervisor:
    """One execution of a plan, or what was left of it by an earlier supervisor."""

    def __init__(
        self,
        plan: Plan,
        around: Surroundings,
        observe: Observer = lambda state, rows: None,
    ) -> None:
        self.plan = plan
        self.dead = 0
        self.state: State = "starting"
        self.reason = ""
        self._around = around
        self._observe = observe
        self._names = plan.names
        self._tallies = {operator.index: Tally() for operator in plan.operators}
        self._rates = {operator.index: Rate() for operator in plan.operators}
        self._replicas = [_Replica(o, index) for o in plan.operators for index in range(o.replicas)]
        self._restarts = dict.fromkeys(self._tallies, 0)
        self._outstanding: dict[int, int] = {}
        self._finished: set[tuple[int, int]] = set()
        self._told: set[int] = set()
        self._draining = False
        self._over = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # for its caller

    async def run(self) -> State:
        """Until the run has ended; returns `completed`, `stopped` or `failed`. What it started is gone by then."""
        try:
            await self._set_up()
            self._to("running")
            for replica in self._replicas:
                if replica.key not in self._finished:
                    self._keep(self._tend(replica))
            self._keep(self._follow())
            self._keep(Watermarks(self.plan, self._storer).run())
            self._keep(self._show())
            if self._around.broker is not None:
                self._keep(self._tend_broker(self._around.broker))
                self._keep(self._watch_disk())
            await self._over.wait()
        except (EngineError, TransportError) as error:
            self._fail(str(error))
        finally:
            await self._clean_up()
        return self.state

    def drain(self) -> None:
        """Sources stop; what is under way is worked off; then the run is `stopped`, and can be resumed."""
        if self.state not in ("starting", "running") or self._draining:
            return
        self._draining = True
        self._to("draining")
        self._keep(self._tell_sources())

    def stop(self, reason: str = "") -> None:
        """End now. What was not worked off stays in the broker's store, for `resume`."""
        if not self._over.is_set():
            self.reason = reason
            self._end("stopped")

    # beginning and end

    async def _set_up(self) -> None:
        self._client: Client = await connect(
            self._around.address, f"{self.plan.run} supervisor", reconnected=self._reconnected
        )
        self._storer = Storer(self._client)
        await self._storer.open()
        await streams.create(self._storer, self.plan, self._around.store_bytes)
        await self._client.subscribe(self._names.record("*", "*", "finished"), cb=self._on_finished)
        await self._client.subscribe(self._names.report("*", "*"), cb=self._on_report)
        await self._client.flush()
        await self._store_assignments()
        (self._around.folder.path / "slots").mkdir(exist_ok=True)

    def _reconnected(self) -> None:
        if hasattr(self, "_storer"):
            self._storer.resend()

    async def _store_assignments(self) -> None:
        """What replicas are told; what an earlier supervisor stored, and live parameters, stay."""
        subjects = [self._names.control("*", ">"), self._names.record("*", "*", "finished")]
        stored = await self._storer.last(self._names.record_stream, subjects)
        for operator in self.plan.operators:
            for kind, value in (
                ("assignment", operator.assignment.to_value()),
                ("parameters", operator.parameters),
            ):
                subject = self._names.control(operator.index, kind)
                if subject not in stored:
                    await self._storer.store(Store(subject, json.dumps(value).encode()))
        await self._take_up(stored)

    async def _take_up(self, stored: Mapping[str, bytes]) -> None:
        """Go on where an earlier supervisor stopped: with all that has ended, but for what was only drained."""
        kinds = (".finished", ".finish", ".drain")
        ends = {subject: subject.split(".") for subject in stored if subject.endswith(kinds)}
        again: set[int] = set()
        for subject, parts in ends.items():
            if parts[-1] == "finished" and json.loads(stored[subject])["drained"]:
                again.add(int(parts[3]))
        again = self.plan.below(again)
        for subject, parts in ends.items():
            operator = int(parts[3])
            if operator in again or parts[-1] == "drain":
                await streams.purge(self._storer, self._names.record_stream, subject)
            elif parts[-1] == "finished":
                self._finished.add((operator, int(parts[4])))
            else:
                self._told.add(operator)

    async def _clean_up(self) -> None:
        self._over.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        handles = [replica.handle for replica in self._replicas if replica.handle is not None]
        for handle in handles:
            handle.terminate()
        if handles:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await asyncio.gather(*(handle.wait() for handle in handles))
        await self._around.launcher.close()
        self._show_once()
        await self._count_dead_letters()
        if hasattr(self, "_client"):
            with suppress(Exception):
                await self._client.close()

    async def _count_dead_letters(self) -> None:
        if hasattr(self, "_storer"):
            with suppress(EngineError, TransportError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    self.dead = await streams.dead_letters(self._storer, self.plan)
        if not self.dead and self.state == "completed" and self._around.broker is None:
            await streams.remove(self._storer, self.plan)

    def _keep(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(str(error) if isinstance(error, EngineError | TransportError) else repr(error))

    def _to(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._around.events.record("state", state=state, reason=self.reason)

    def _end(self, state: State) -> None:
        self._to(state)
        self._over.set()

    def _fail(self, reason: str) -> None:
        if self.state not in ("completed", "stopped", "failed"):
            self.reason = reason
            self._end("failed")

    # replicas

    async def _tend(self, replica: _Replica) -> None:
        """Start a replica and restart it until it is done or the run is over."""
        operator = replica.operator
        tally = self._tallies[operator.index]
        while True:
            begun = time.monotonic()
            replica.handle = await self._around.launcher.start(self._launch(replica))
            self._record("replica", replica, state="starting", id=replica.handle.id)
            exit = await replica.handle.wait()
            replica.handle = None
            if tally.progress_of(replica.index):
                replica.deaths = 0
            tally.close(replica.index)
            if exit.ok and await self._is_finished(replica):
                self._record("replica", replica, state="stopped", seconds=round(time.monotonic() - begun, 3))
                return
            delay = await self._bury(replica, exit)
            if delay is None:
                return
            replica.incarnation += 1
            self._restarts[operator.index] += 1
            await asyncio.sleep(delay)

    def _launch(self, replica: _Replica) -> Launch:
        operator, folder = replica.operator, self._around.folder
        environment = {
            "INTERACTEM_RUN": self.plan.run,
            "INTERACTEM_OPERATOR": str(operator.index),
            "INTERACTEM_REPLICA": str(replica.index),
            "INTERACTEM_BROKER": self._around.address.url,
            "INTERACTEM_OUTPUTS": str(folder.outputs),
            "INTERACTEM_DATA_DIRECTORY": str(self._data_directory(operator)),
            "INTERACTEM_SLOT": str(self._slot(replica)),
            **_one_thread(),
        }
        if self._around.address.credentials is not None:
            environment["INTERACTEM_CREDENTIALS"] = str(self._around.address.credentials)
        python = self._around.interpreters[operator.operator]
        run = Path(operator.folder) / "run.py"
        return Launch(
            operator=operator.key,
            replica=replica.index,
            incarnation=replica.incarnation,
            command=(str(python), "-u", "-m", "interactem.runtime", str(run)),
            environment=environment,
            folder=folder.path,
            log=_Log(folder.log(operator.key, replica.index)),
        )

    def _data_directory(self, operator: PlannedOperator) -> Path:
        """A folder with each mount under its name."""
        folder = self._around.folder.path / "mounts" / operator.key
        folder.mkdir(parents=True, exist_ok=True)
        for name, target in operator.mounts.items():
            link = folder / name
            if not link.is_symlink():
                link.symlink_to(target)
        return folder

    def _slot(self, replica: _Replica) -> Path:
        return self._around.folder.path / "slots" / replica.name

    async def _is_finished(self, replica: _Replica) -> bool:
        if replica.key not in self._finished:
            subject = self._names.record(replica.operator.index, replica.index, "finished")
            with suppress(KeyError):
                await self._storer.last_one(self._names.record_stream, subject)
                self._note_finished(replica.key)
        return replica.key in self._finished

    async def _bury(self, replica: _Replica, exit: Exit) -> float | None:
        """After a death: count it, hand back what the replica held. Returns when to restart it, None for never."""
        call, held = slot.read(self._slot(replica))
        kills = 0
        if call is not None and exit.signal is not None:
            name = (call.edge, call.message_id)
            kills = replica.kills[name] = replica.kills.get(name, 0) + 1
        death = after_death(
            exit,
            in_call=call is not None,
            kills=kills,
            deaths=replica.deaths,
            timeout=replica.operator.assignment.timeout,
        )
        replica.deaths += 1
        message = None if call is None else call.message_id
        self._record("replica", replica, state="failed", reason=death.reason, message=message, restart=death.restart)
        if death.attempt and call is not None:
            replica.kills.pop((call.edge, call.message_id), None)
            crash = {"edge": call.edge, "id": call.message_id, "attempts": call.attempt, "error": death.error}
            subject = self._names.crash(replica.operator.index, call.edge, call.message_id)
            await self._storer.store(Store(subject, json.dumps(crash).encode()))
            self._record("failure", replica, message=call.message_id, attempts=call.attempt, error=death.error)
        for reply in held:
            await self._client.publish(reply, b"-NAK")
        if death.restart:
            return death.delay
        log = self._around.folder.log(replica.operator.key, replica.index)
        self._fail(f"{replica.name}: {death.reason}{_last_lines(log)}")
        return None

    # the broker

    async def _tend_broker(self, broker: EmbeddedBroker) -> None:
        while True:
            code = await broker.wait()
            self._around.events.record("broker", state="died", code=code)
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

    async def _tell_sources(self) -> None:
        for operator in self.plan.operators:
            if operator.assignment.is_source and not has_ended(operator, self._finished):
                await self._storer.store(Store(self._names.control(operator.index, "drain"), b"{}"))

    async def _follow(self) -> None:
        """Tell each operator to finish once everything before it is done and worked off."""
        everything = consumers(self.plan)
        while True:
            if all(replica.key in self._finished for replica in self._replicas):
                self._end("stopped" if self._draining else "completed")
                return
            ending = about_to_end(self.plan, self._finished, self._told)
            chosen = [c for c in everything if c.operator in {o.index for o in ending}] if ending else everything
            self._outstanding |= await streams.outstanding(self._storer, chosen)
            for operator in ending:
                if is_drained(self._outstanding, operator):
                    await self._storer.store(Store(self._names.control(operator.index, "finish"), b"{}"))
                    self._told.add(operator.index)
            with suppress(TimeoutError):
                async with asyncio.timeout(ENDING_SECONDS if ending else POLL_SECONDS):
                    await self._changed.wait()
            self._changed.clear()

    def _note_finished(self, key: tuple[int, int]) -> None:
        self._finished.add(key)
        self._changed.set()

    async def _on_finished(self, message: Msg) -> None:
        parts = message.subject.split(".")
        key = (int(parts[3]), int(parts[4]))
        self._tallies[key[0]].hear(key[1], json.loads(message.data)["counts"])
        self._note_finished(key)

    # what is seen of it

    async def _on_report(self, message: Msg) -> None:
        operator, replica = map(int, message.subject.split(".")[3:5])
        report = msgpack.unpackb(message.data)
        event = report.pop("event", None)
        self._tallies[operator].hear(replica, report)
        if event is not None:
            planned = next(r for r in self._replicas if r.key == (operator, replica))
            self._record(event.pop("kind"), planned, **event)

    def _record(self, kind: str, replica: _Replica, **details: Any) -> None:
        self._around.events.record(kind, operator=replica.operator.key, replica=replica.index, **details)

    async def _show(self) -> None:
        while True:
            self._show_once()
            await asyncio.sleep(OBSERVE_SECONDS)

    def _show_once(self) -> None:
        self._observe(self.state, self.progress())

    def progress(self) -> list[OperatorProgress]:
        now = time.monotonic()
        return [self._progress_of(operator, now) for operator in self.plan.operators]

    def _progress_of(self, operator: PlannedOperator, now: float) -> OperatorProgress:
        tally = self._tallies[operator.index]
        running = [r for r in self._replicas if r.operator is operator and r.handle is not None]
        moved = tally.total("sent" if operator.assignment.is_source else "received")
        return OperatorProgress(
            name=operator.key,
            replicas=operator.replicas,
            running=len(running),
            received=tally.total("received"),
            sent=tally.total("sent"),
            rate=self._rates[operator.index].at(now, moved),
            waiting=sum(self._outstanding.get(entry.edge, 0) for entry in operator.assignment.inputs),
            retried=tally.total("retried"),
            dead=tally.total("dead"),
            restarts=self._restarts[operator.index],
            state=self._state_of(operator, bool(tally.current)),
        )

    def _state_of(self, operator: PlannedOperator, reported: bool) -> str:
        if has_ended(operator, self._finished):
            return "stopped"
        if operator.index in self._told or (self._draining and operator.assignment.is_source):
            return "draining"
        return "running" if reported else "starting"


def _one_thread() -> dict[str, str]:
    """Replicas are how work is spread over cores: a numerical library that starts a thread a core stands in the way."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {name: "1" for name in names if name not in os.environ}


class _Log:
    """Appends a replica's lines to its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def __call__(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line + b"\n")


def _last_lines(log: Path, count: int = 30) -> str:
    """The end of a replica's log, which says why it ended."""
    try:
        lines = log.read_bytes().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return ""
    return "".join(f"\n    {line}" for line in lines)

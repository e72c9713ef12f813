"""What a keeper keeps: the replicas and the broker of a run, as its supervisor asks for them."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interactem.engine.broker import EmbeddedBroker
from interactem.engine.errors import EngineError
from interactem.engine.folders import RunFolder
from interactem.engine.kept import VERSION, exit_to_value, launch_from_value
from interactem.engine.launchers import Handle, Launch, Launcher
from interactem.engine.launching import make_launcher
from interactem.engine.logs import ReplicaLog
from interactem.engine.own_broker import start_own_broker
from interactem.engine.plan import Plan
from interactem.runtime.secrets import Secrets

Do = Callable[[dict[str, Any]], Awaitable[Any]]
"""Takes a request, and gives the result of it."""

DRAIN_SECONDS = 10.0
"""How long replicas may take to come to an end of what they hold, when there is no supervisor."""


@dataclass(slots=True)
class KeptReplica:
    """A replica that was started last, of all those with its operator and number."""

    number: int
    launch: Launch
    handle: Handle
    log: ReplicaLog
    begun: float

    def to_value(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "id": self.handle.id,
            "operator": self.launch.operator,
            "replica": self.launch.replica,
            "incarnation": self.launch.incarnation,
            "note": dict(self.launch.note),
            "seconds": time.monotonic() - self.begun,
        }


class KeptRun:
    """`requests` has what can be asked for, by name; those in `waiting` wait for something to tell."""

    waiting = frozenset({"wait", "wait for broker", "events"})

    def __init__(self, plan: Plan, folder: RunFolder, secrets: Path) -> None:
        self.closing = False
        """Whether the run is being ended."""
        self._plan = plan
        self._folder = folder
        self._secrets = secrets
        self._launcher: Launcher | None = None
        self._broker: EmbeddedBroker | None = None
        self._broker_turn = asyncio.Lock()
        self._store_bytes = 0
        self._kept: dict[tuple[str, int], KeptReplica] = {}
        self._numbers = 0
        self._starts: set[asyncio.Task[Any]] = set()
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._told = asyncio.Event()
        self.requests: dict[str, Do] = {
            "open": self._open,
            "start": self._start,
            "wait": self._wait,
            "signal": self._signal,
            "close": self._close,
            "broker": self._have_broker,
            "wait for broker": self._wait_for_broker,
            "restart broker": self._restart_broker,
            "stop broker": self._stop_broker,
            "events": self._next_events,
        }

    @property
    def replicas(self) -> int:
        """How many were started and not replaced, whether they live or not."""
        return len(self._kept)

    @property
    def empty(self) -> bool:
        return not self._kept and self._broker is None

    async def end(self) -> None:
        """Let the replicas come to an end of what they hold; then nothing is left."""
        handles = [kept.handle for kept in self._kept.values()]
        for handle in handles:
            handle.terminate()
        if handles:
            await asyncio.wait([asyncio.ensure_future(h.wait()) for h in handles], timeout=DRAIN_SECONDS)
        await self._close({})
        await self._stop_broker({})

    # replicas

    async def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have a launcher. What an earlier supervisor has started, whether it has ended or not."""
        if self._launcher is None:
            self._launcher = await make_launcher(self._plan, self._record)
        return {
            "version": VERSION,
            "replicas": [kept.to_value() for kept in self._kept.values()],
            "broker": self._broker is not None,
        }

    async def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._launcher is None or self.closing:
            raise EngineError("the run's keeper starts nothing any more")
        task = asyncio.current_task()
        if task is not None:
            self._starts.add(task)
            task.add_done_callback(self._starts.discard)
        value = request["launch"]
        secrets = value["places"].get("INTERACTEM_CONNECTIONS")
        hide = Secrets.read(Path(secrets["path"]) if secrets else None).mask.line
        output = ReplicaLog(self._folder.log(value["operator"], value["replica"]), hide)
        launch = launch_from_value(value, output)
        try:
            handle = await self._launcher.start(launch)
        except BaseException:
            output.close()
            raise
        self._numbers += 1
        kept = KeptReplica(self._numbers, launch, handle, output, time.monotonic())
        before = self._kept.get((launch.operator, launch.replica))
        if before is not None:
            before.log.close()
        self._kept[launch.operator, launch.replica] = kept
        return {"number": kept.number, "id": handle.id}

    def _numbered(self, number: int) -> KeptReplica | None:
        return next((kept for kept in self._kept.values() if kept.number == number), None)

    async def _wait(self, request: dict[str, Any]) -> dict[str, Any]:
        kept = self._numbered(request["replica"])
        if kept is None:
            raise EngineError(f"the run's keeper knows no replica {request['replica']}")
        return exit_to_value(await kept.handle.wait())

    async def _signal(self, request: dict[str, Any]) -> None:
        kept = self._numbered(request["replica"])
        if kept is not None:
            if request["kill"]:
                kept.handle.kill()
            else:
                kept.handle.terminate()

    async def _close(self, request: dict[str, Any]) -> None:
        """End the replicas: the run is over."""
        self.closing = True
        await asyncio.gather(*self._starts, return_exceptions=True)
        if self._launcher is not None:
            launcher, self._launcher = self._launcher, None
            await launcher.close()

    # the broker

    async def _have_broker(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self._broker_turn:
            if self._broker is None:
                self._broker, self._store_bytes = await start_own_broker(self._plan, self._folder, self._secrets)
            return {
                "url": self._broker.url,
                "credentials": str(self._broker.credentials),
                "log": str(self._broker.log),
                "store_bytes": self._store_bytes,
            }

    async def _wait_for_broker(self, request: dict[str, Any]) -> int:
        return -signal.SIGKILL if self._broker is None else await self._broker.wait()

    async def _restart_broker(self, request: dict[str, Any]) -> None:
        async with self._broker_turn:
            if self._broker is not None:
                await self._broker.restart()

    async def _stop_broker(self, request: dict[str, Any]) -> None:
        async with self._broker_turn:
            if self._broker is not None:
                await self._broker.stop()

    # the rest

    def _record(self, kind: str, **details: Any) -> None:
        """For the supervisor, which alone writes the run's events."""
        self._events.append((kind, details))
        self._told.set()

    async def _next_events(self, request: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """All behind the first ones, which the supervisor has written."""
        del self._events[: request["written"]]
        while not self._events:
            self._told.clear()
            await self._told.wait()
        return list(self._events)

"""`python -m interactem.engine.keeper FOLDER SECRETS SECONDS SOCKET`: keeps a detached run's broker and replicas.

They are its children. They live as long as it does, and so outlive the run's supervisor, which says over a socket what
is to be done with them, and which another one can replace. The first one is at the other end of the descriptor SOCKET;
the next ones find a socket in the folder of secrets. The keeper decides nothing: who has died stays dead until a
supervisor has it started again. When there was none for so many seconds, it lets the replicas come to an end of what
they hold, ends the broker, and then itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interactem.engine import arenas
from interactem.engine.broker import EmbeddedBroker
from interactem.engine.errors import EngineError, RunFolderError
from interactem.engine.folders import EventLog, RunFolder
from interactem.engine.kept import (
    LINE_BYTES,
    error_to_value,
    exit_to_value,
    launch_from_value,
    listening,
    to_line,
)
from interactem.engine.launchers import Handle, Launch, Launcher
from interactem.engine.launching import make_launcher
from interactem.engine.logs import ReplicaLog
from interactem.engine.own_broker import start_own_broker
from interactem.engine.plan import Plan
from interactem.runtime.secrets import Secrets

SOCKET = "keeper.sock"
DRAIN_SECONDS = 10.0
"""How long replicas may take to come to an end of what they hold, when there is no supervisor."""
LOCK_SECONDS = 0.1
LAST_WORDS_SECONDS = 5.0

log = logging.getLogger("interactem.keeper")


@dataclass(slots=True)
class Kept:
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


class Keeper:
    """Keeps one run, until its supervisor ends it or there was none for `patience` seconds."""

    def __init__(self, plan: Plan, folder: RunFolder, secrets: Path, patience: float) -> None:
        self._plan = plan
        self._folder = folder
        self._secrets = secrets
        self._patience = patience
        self._launcher: Launcher | None = None
        self._broker: EmbeddedBroker | None = None
        self._store_bytes = 0
        self._kept: dict[tuple[str, int], Kept] = {}
        self._numbers = 0
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._told = asyncio.Event()
        self._attending = 0
        self._supervisors: set[asyncio.StreamWriter] = set()
        self._attended = asyncio.Event()
        self._left = asyncio.Event()
        self._ended = asyncio.Event()
        self._closing = False
        self._hurried = False
        self._turn = asyncio.Lock()
        self._broker_turn = asyncio.Lock()
        self._starts: set[asyncio.Task[Any]] = set()
        self._do: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
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
            "end": self._end,
        }

    async def run(self, first: socket.socket) -> None:
        """Until everything has ended. `first` is the connection to the first supervisor."""
        loop = asyncio.get_running_loop()
        place = listening(self._secrets / SOCKET)
        server = await asyncio.start_unix_server(self._attend, sock=place, limit=LINE_BYTES)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._hurry)
        attending = loop.create_task(self._attend(*await asyncio.open_unix_connection(sock=first, limit=LINE_BYTES)))
        with ExitStack() as held:
            alone = await self._until_over(held)
            server.close()
            await self._leave(alone)
            for writer in list(self._supervisors):
                writer.close()
            await asyncio.wait([attending, asyncio.ensure_future(self._left.wait())], timeout=LAST_WORDS_SECONDS)

    def _hurry(self) -> None:
        """Asked to end: at once, but not while there is a supervisor, which has its own mind."""
        self._hurried = True
        if not self._attending:
            self._attended.set()

    # supervisors

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One supervisor. The one before it is dead: what it has said is done before this one is heard."""
        self._attending += 1
        self._supervisors.add(writer)
        self._left.clear()
        self._attended.set()
        try:
            async with self._turn:
                await self._hear(reader, writer)
        finally:
            self._attending -= 1
            self._supervisors.discard(writer)
            if not self._attending:
                self._attended.clear()
                self._left.set()
            writer.close()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: set[asyncio.Task[None]] = set()
        doing: set[asyncio.Task[None]] = set()
        with suppress(OSError):  # it is gone
            while line := await reader.readline():
                if not line.endswith(b"\n"):
                    break  # killed in the middle of a word
                request = json.loads(line)
                tasks = waiting if request["do"] in ("wait", "wait for broker", "events") else doing
                task = asyncio.create_task(self._answer(request, writer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*doing, *waiting, return_exceptions=True)

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        answer: dict[str, Any] = {"number": request["number"]}
        try:
            answer["result"] = await self._do[request["do"]](request)
        except EngineError as error:
            answer["error"] = error_to_value(error)
        except Exception as error:
            log.exception("%s", request["do"])
            answer["error"] = error_to_value(EngineError(f"the run's keeper failed: {error!r}; see supervisor.log"))
        with suppress(OSError):
            writer.write(to_line(answer))
            await writer.drain()

    async def _until_over(self, held: ExitStack) -> bool:
        """Whether that is because there was no supervisor for too long. The run's folder is held then."""
        while True:
            over = [asyncio.ensure_future(event.wait()) for event in (self._ended, self._left)]
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            for task in over:
                task.cancel()
            if self._ended.is_set():
                return False
            nothing = self._closing or not (self._kept or self._broker)
            if await self._alone(0.0 if nothing or self._hurried else self._patience):
                while not self._attending:
                    if self._hold(held):
                        return True
                    await asyncio.sleep(LOCK_SECONDS)

    async def _alone(self, seconds: float) -> bool:
        """Whether no supervisor comes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._attended.wait()
        return not self._attending

    def _hold(self, held: ExitStack) -> bool:
        """Nobody may come any more. False where somebody is just about to."""
        try:
            held.enter_context(self._folder.held())
        except RunFolderError:
            return False
        return True

    async def _leave(self, alone: bool) -> None:
        with EventLog(self._folder.events) if alone and self._kept else nullcontext() as events:
            if events is not None:
                events.record("unattended", replicas=len(self._kept), reason="there was no supervisor for too long")
            handles = [kept.handle for kept in self._kept.values()]
            for handle in handles:
                handle.terminate()
            if handles:
                await asyncio.wait([asyncio.ensure_future(h.wait()) for h in handles], timeout=DRAIN_SECONDS)
            await self._close({})
            await self._stop_broker({})
            shutil.rmtree(self._secrets, ignore_errors=True)
            with suppress(OSError):
                arenas.put_away(self._plan.run, self._folder.path / "arenas", keep=True)
            if events is not None:
                events.record("cleaned up", state="interrupted", replicas=len(handles))

    # replicas

    async def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have a launcher. What an earlier supervisor has started, whether it has ended or not."""
        if self._launcher is None:
            self._launcher = await make_launcher(self._plan, self._record)
        return {
            "replicas": [kept.to_value() for kept in self._kept.values()],
            "broker": self._broker is not None,
        }

    async def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._launcher is None or self._closing:
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
        kept = Kept(self._numbers, launch, handle, output, time.monotonic())
        before = self._kept.get((launch.operator, launch.replica))
        if before is not None:
            before.log.close()
        self._kept[launch.operator, launch.replica] = kept
        return {"number": kept.number, "id": handle.id}

    def _numbered(self, number: int) -> Kept | None:
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
        self._closing = True
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

    async def _end(self, request: dict[str, Any]) -> None:
        self._ended.set()


def main(arguments: list[str]) -> None:
    folder, secrets, patience, descriptor = arguments
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.INFO)
    place = RunFolder.open(Path(folder))
    plan = Plan.from_value(place.read_plan())

    async def keep() -> None:
        await Keeper(plan, place, Path(secrets), float(patience)).run(socket.socket(fileno=int(descriptor)))

    asyncio.run(keep())


if __name__ == "__main__":
    main(sys.argv[1:])

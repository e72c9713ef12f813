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
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

from interactem.engine import arenas
from interactem.engine.errors import EngineError, RunFolderError
from interactem.engine.folders import EventLog, RunFolder
from interactem.engine.kept import LINE_BYTES, error_to_value, listening, to_line
from interactem.engine.kept_run import KeptRun
from interactem.engine.plan import Plan

SOCKET = "keeper.sock"
LOCK_SECONDS = 0.1
LAST_WORDS_SECONDS = 5.0

log = logging.getLogger("interactem.keeper")


class Keeper:
    """Keeps one run, until its supervisor ends it or there was none for `patience` seconds."""

    def __init__(self, plan: Plan, folder: RunFolder, secrets: Path, patience: float) -> None:
        self._plan = plan
        self._folder = folder
        self._secrets = secrets
        self._patience = patience
        self._kept = KeptRun(plan, folder, secrets)
        self._supervisors: set[asyncio.StreamWriter] = set()
        self._turn = asyncio.Lock()
        self._attended = asyncio.Event()
        self._left = asyncio.Event()
        self._ended = asyncio.Event()
        self._hurried = False

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
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await self._left.wait()
        attending.cancel()

    def _hurry(self) -> None:
        """Asked to end: at once, but not while there is a supervisor, which has its own mind."""
        self._hurried = True
        if not self._supervisors:
            self._attended.set()

    # supervisors

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One supervisor. The one before it is dead: what it has said is done before this one is heard."""
        self._supervisors.add(writer)
        self._left.clear()
        self._attended.set()
        try:
            async with self._turn:
                await self._hear(reader, writer)
        finally:
            self._supervisors.discard(writer)
            if not self._supervisors:
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
                tasks = waiting if request["do"] in KeptRun.waiting else doing
                task = asyncio.create_task(self._answer(request, writer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*doing, *waiting, return_exceptions=True)

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        answer: dict[str, Any] = {"number": request["number"], "result": None}
        try:
            if request["do"] == "end":
                self._ended.set()
            else:
                answer["result"] = await self._kept.requests[request["do"]](request)
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
            nothing = self._kept.closing or self._kept.empty
            if await self._alone(0.0 if nothing or self._hurried else self._patience):
                while not self._supervisors:
                    if self._hold(held):
                        return True
                    await asyncio.sleep(LOCK_SECONDS)

    async def _alone(self, seconds: float) -> bool:
        """Whether no supervisor comes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._attended.wait()
        return not self._supervisors

    def _hold(self, held: ExitStack) -> bool:
        """Nobody may come any more. False where somebody is just about to."""
        try:
            held.enter_context(self._folder.held())
        except RunFolderError:
            return False
        return True

    async def _leave(self, alone: bool) -> None:
        count = self._kept.replicas if alone else 0
        with EventLog(self._folder.events) if count else nullcontext() as events:
            if events is not None:
                events.record("unattended", replicas=count, reason="there was no supervisor")
            await self._kept.end()
            shutil.rmtree(self._secrets, ignore_errors=True)
            if alone:  # else the supervisor does, who knows how the run has ended
                with suppress(OSError):
                    arenas.put_away(self._plan.run, self._folder.path / "arenas", keep=True)
            if events is not None:
                events.record("cleaned up", state="interrupted", replicas=count)


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

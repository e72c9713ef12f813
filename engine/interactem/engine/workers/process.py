"""One worker's process: it leads a group of its own, and dies with us however we end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import IO

from interactem.engine.children import exit_code, read_lines
from interactem.engine.guard import Guard
from interactem.engine.tether import tethered
from interactem.engine.workers.policy import Stream

LAST_OUTPUT_SECONDS = 5.0
"""How long what a worker has printed may take to come after its end."""

Print = Callable[[Stream, list[bytes]], Awaitable[None]]
"""Takes the lines that came together."""


class WorkerProcess:
    """Start it from a thread that lives as long as the worker should. Raises `OSError` where it cannot be started."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], guard: Guard) -> None:
        self._guard = guard
        # not asyncio's subprocess: its wait() may also wait for whoever else holds the output open
        self._process = subprocess.Popen(
            tethered(command),
            # what Python prints comes when it is printed, not when 8 kB have come together
            env={"PYTHONUNBUFFERED": "1", **os.environ, **environment},
            stdin=subprocess.DEVNULL if sys.platform == "linux" else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        guard.add(self._process.pid)
        self._code = exit_code(self._process)

    def signal(self, number: int) -> None:
        """Send a signal to the worker and all that it has started."""
        if not self._code.done():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    async def run(self, print: Print) -> int:
        """The exit code, negative for a signal, once it has ended and all that it printed has been given on."""
        streams: tuple[tuple[Stream, IO[bytes] | None], ...] = (
            ("stdout", self._process.stdout),
            ("stderr", self._process.stderr),
        )
        readings = [
            asyncio.create_task(read_lines(pipe, partial(print, name))) for name, pipe in streams if pipe is not None
        ]
        try:
            code = await asyncio.shield(self._code)
            self._kill_rest()  # which may hold the output open too
            await asyncio.wait(readings, timeout=LAST_OUTPUT_SECONDS)
        finally:
            for reading in readings:
                reading.cancel()
            await asyncio.gather(*readings, return_exceptions=True)
        return code

    async def kill(self) -> None:
        """End it and all that it has started, now."""
        self.signal(signal.SIGKILL)
        await self._code
        self._kill_rest()

    def _kill_rest(self) -> None:
        """What it has started and left behind."""
        with suppress(ProcessLookupError, PermissionError):  # macOS: no permission where all are dead
            os.killpg(self._process.pid, signal.SIGKILL)
        self._guard.remove(self._process.pid)
        if self._process.stdin is not None:
            self._process.stdin.close()

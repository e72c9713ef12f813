"""Supervising workers: each is started, started again as the policy says, and told what we are told."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from interactem.engine.errors import CommandNotFoundError
from interactem.engine.guard import Guard
from interactem.engine.workers.policy import (
    Policy,
    Record,
    Stream,
    after_end,
    describe,
    exit_code,
    prefix,
    worker_environment,
    worker_name,
)
from interactem.engine.workers.printing import Printer
from interactem.engine.workers.process import WorkerProcess

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""What is passed on to every worker's process group. All but a hang-up say that they are to end."""
GRACE_SECONDS = 30.0
"""How long workers may take to end when one of them has ended all."""


def find_command(command: Sequence[str]) -> tuple[str, ...]:
    """The command with the path of its program. Raises `CommandNotFoundError`."""
    program = shutil.which(command[0])
    if program is None:
        raise CommandNotFoundError(command[0], "it is not executable" if os.path.exists(command[0]) else "")
    return (os.path.abspath(program), *command[1:])


async def supervise(command: Sequence[str], policy: Policy, *, grace: float = GRACE_SECONDS) -> int:
    """Run the workers to their end; the exit code for all of them. No process of theirs is left.

    Call it in the main thread: it hears the process's signals. Raises `CommandNotFoundError`.
    """
    try:
        return await _Supervision(find_command(command), policy, grace).run()
    except BaseExceptionGroup as group:  # of the workers' tasks, the first that failed ends all
        raise group.exceptions[0] from None


class _Supervision:
    def __init__(self, command: tuple[str, ...], policy: Policy, grace: float) -> None:
        self._command = command
        self._policy = policy
        self._grace = grace
        self._guard = Guard()
        self._records = [Record(rank) for rank in range(policy.workers)]
        self._processes: dict[int, WorkerProcess] = {}
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        self._told = asyncio.Event()
        self._decisive: int | None = None
        streams: tuple[tuple[Stream, int], ...] = (("stdout", sys.stdout.fileno()), ("stderr", sys.stderr.fileno()))
        self._printers = {name: Printer(descriptor, self._unread) for name, descriptor in streams}

    async def run(self) -> int:
        # a hang-up is ignored where whoever started us has said so, as nohup does
        heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        for number in heard:
            self._loop.add_signal_handler(number, self._on_signal, number)
        try:
            async with asyncio.TaskGroup() as group:
                for record in self._records:
                    group.create_task(self._tend(record))
            await self._print_all()
        finally:
            await asyncio.gather(*(process.kill() for process in self._processes.values()))
            self._guard.close()
            for number in heard:
                self._loop.remove_signal_handler(number)
        return exit_code((record.code for record in self._records), self._decisive)

    async def _print_all(self) -> None:
        """Until all is printed; somebody who does not wait for a reader that is slow can say so by a signal."""
        self._told.clear()
        tasks = [asyncio.create_task(printer.close()) for printer in self._printers.values()]
        printed, told = asyncio.gather(*tasks), asyncio.create_task(self._told.wait())
        await asyncio.wait((printed, told), return_when=asyncio.FIRST_COMPLETED)
        for task in (*tasks, told):
            task.cancel()

    async def _tend(self, record: Record) -> None:
        await self._pause(self._policy.starts_at(record.rank))
        while not self._ending.is_set():
            begun = time.monotonic()
            code = await self._live(record)
            what = after_end(self._policy, record, code, time.monotonic() - begun, ending=self._ending.is_set())
            if what.action == "restart":
                await self._say(f"{worker_name(record)} {describe(code)}; starts again in {what.delay:g} s")
                await self._pause(what.delay)
                continue
            await self._say(f"{worker_name(record)} {describe(code)}")
            if what.action == "shutdown":
                await self._shut_down(record, code)
            return

    async def _live(self, record: Record) -> int:
        """One incarnation of a worker; the code that it ends with."""
        record.incarnation += 1
        environment = worker_environment(record.rank, self._policy.workers)
        process = self._processes[record.rank] = WorkerProcess(self._command, environment, self._guard)

        async def print(stream: Stream, lines: list[bytes]) -> None:
            start = prefix(record, stream)
            await self._printers[stream].write(b"".join(b"%b%b\n" % (start, line) for line in lines))

        code = await process.run(print)
        del self._processes[record.rank]
        return code

    async def _shut_down(self, record: Record, code: int) -> None:
        if self._ending.is_set():
            return
        self._decisive = code
        await self._say(f"{worker_name(record)} ends all workers")
        self._end(signal.SIGTERM)
        self._loop.call_later(self._grace, self._signal, signal.SIGKILL)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless all are to end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    def _on_signal(self, number: int) -> None:
        self._told.set()
        if number == signal.SIGHUP:
            self._signal(number)
        else:
            self._end(number)

    def _unread(self, reason: str) -> None:
        """Nobody reads what workers print any more, or there is no room for it. Said where somebody may hear it."""
        self._said = self._loop.create_task(self._say(f"no output can be written: {reason}; ends all workers"))
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        self._ending.set()
        self._signal(number)

    def _signal(self, number: int) -> None:
        for process in self._processes.values():
            process.signal(number)

    async def _say(self, text: str) -> None:
        await self._printers["stderr"].write(f"[supervise] {text}\n".encode())

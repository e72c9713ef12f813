"""Calls in worker processes. One that dies costs an attempt of what it had, and another takes its place."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from interactem.runtime.context import Context
from interactem.runtime.errors import ConcurrentStateError, KernelError, SetUpError, WorkerError
from interactem.runtime.flight.items import Flight, Land, Poked, Told, ToldError
from interactem.runtime.flight.pipes import Pipe, result_of, value_of_message
from interactem.runtime.flight.seats import handed
from interactem.runtime.flight.worker import Answer, Part, Surroundings, Task
from interactem.runtime.kernels import Kernel
from interactem.runtime.messages import BytesMessage
from interactem.runtime.telling import Telling

__all__ = ["Processes"]

END_SECONDS = 10.0
"""How long a worker may take to tear down its dependencies."""


class Processes:
    """`kernel.mode.processes` of them, each in the care of a thread, which they die with.

    A call that takes longer than `limit` seconds ends its process; 0 is for ever.
    """

    def __init__(self, kernel: Kernel, context: Context, land: Land, timeout: float | None, limit: float) -> None:
        if kernel.program is None:
            name = kernel.function.__name__
            raise KernelError(f"{name}: worker processes import the operator's run.py, and this kernel is of none")
        self._around = Surroundings(
            kernel.program,
            context.operator,
            context.replica,
            context.replicas,
            context.run,
            context.outputs,
            context.work,
            context.init_data,
            context.path_rules,
            context.mask,
            timeout,
        )
        self._context = context
        self._land = land
        self._limit = limit
        self._how = str(kernel.mode)
        self._width = kernel.mode.processes
        self._begun = 0
        self._flights: SimpleQueue[Flight | None] = SimpleQueue()
        self._workers: list[_Worker] = []

    @property
    def room(self) -> int:
        return self._width - (self._begun - sum(worker.landed for worker in self._workers))

    def start(self) -> None:
        for number in range(self._width):
            work = self._context.work
            folder = None if work is None else work / f"worker-{number}"
            worker = _Worker(self._around, folder, self._flights, self._land, self._limit, self._how, self._context)
            self._workers.append(worker)
            worker.thread.start()
        for worker in self._workers:
            worker.ready.result()

    def begin(self, flight: Flight) -> None:
        self._begun += 1
        self._flights.put(flight)

    def poke(self, message: BytesMessage | None, parameters: Any) -> Any:
        """Have one of them call the kernel for the trigger that the replica's context names; what that has returned.

        Nothing else is in flight. Raises `ToldError` for what was raised there, and what there is when a worker dies.
        """
        poked = Poked(self._context.trigger or "")
        flight = Flight([], dict(parameters), poked=poked)
        self.begin(flight)
        poked.over.result()
        [outcome] = flight.outcomes
        if isinstance(outcome, Told):
            raise ToldError(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        for _ in self._workers:
            self._flights.put(None)
        for worker in self._workers:
            worker.end()


class _Worker:
    """One worker process after the other, and the thread that talks to it."""

    def __init__(
        self,
        around: Surroundings,
        folder: Path | None,
        flights: SimpleQueue[Flight | None],
        land: Land,
        limit: float,
        how: str,
        context: Context,
    ) -> None:
        self.ready: Future[None] = Future()
        self.landed = 0
        self.thread = threading.Thread(target=self._live, name="worker", daemon=True)
        self._around = around
        self._folder = folder
        self._flights = flights
        self._land = land
        self._limit = limit
        self._how = how
        self._context = context
        self._calling = False
        self._ending = False
        self._process: subprocess.Popen[bytes]
        self._pipe: Pipe
        self._sent: dict[str, Any] | None = None
        self._sides: dict[str, Any] = {}
        self._merged = _Merged(context.telling)

    def end(self) -> None:
        """From the replica's thread: it has nothing that anybody waits for."""
        self._ending = True
        if self._calling:
            with suppress(AttributeError):
                self._process.kill()
        self.thread.join(END_SECONDS)

    def _live(self) -> None:
        try:
            self._start()
        except Exception as error:
            self.ready.set_exception(error)
            return
        self.ready.set_result(None)
        while (flight := self._flights.get()) is not None:
            dead = self._serve(flight)
            self.landed += 1
            if flight.poked is None:
                self._land(flight)
            else:
                flight.poked.over.set_result(None)
            del flight
            if dead:
                self._finish()
            if dead and not self._ending:
                try:
                    self._start()
                except Exception as error:
                    self._land(Flight([], None, fatal=error))
                    self._refuse(error)
                    return
        self._finish()

    def _refuse(self, error: Exception) -> None:
        """The replica ends; but first it may wait for a trigger's call, which nobody would make."""
        while (flight := self._flights.get()) is not None:
            if flight.poked is not None:
                flight.fail(error)
                flight.poked.over.set_result(None)

    def _start(self) -> None:
        """Raises `SetUpError` where the kernel cannot be made ready."""
        around = self._around
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "interactem.runtime.flight.worker", str(theirs.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(theirs.fileno(),))
        self._pipe, self._sent, self._sides = Pipe(ours), None, {}
        self._merged.begin()
        try:
            self._pipe.send(around if self._folder is None else replace(around, work=self._folder))
            wrong = self._pipe.receive()
        except (EOFError, OSError):
            wrong = f"{self._ended()} while it was set up"
        if wrong:
            self._finish()
            raise SetUpError("a worker process", WorkerError(wrong))

    def _serve(self, flight: Flight) -> bool:
        """Have a call made. Returns whether the process is dead."""
        self._calling, asked = True, False
        try:
            self._send(flight)
            asked = True
            answer = self._answer_to(flight)
        except TimeoutError:
            self._process.kill()
            self._process.wait()
            limit = self._around.timeout or self._limit
            flight.fail(TimeoutError(f"the kernel took longer than its limit of {limit:g} s; its process was ended"))
            return True
        except (EOFError, OSError):
            what = "it had this message" if flight.poked is None else f"it was called for {flight.poked.trigger}"
            flight.fail(WorkerError(f"{self._ended()} while {what}"))
            return True
        except Exception as error:  # what was to be sent cannot be pickled, or what has come cannot be unpickled
            flight.fail(error)
            if asked:  # nobody knows where in its call it is
                self._process.kill()
            return asked
        finally:
            self._calling = False
        self._note(flight, answer)
        return False

    def _answer_to(self, flight: Flight) -> Answer:
        """What the call has come to; what it yields before is handed on."""
        watch = flight.watch
        watch.start()
        try:
            while True:
                left = max(0.001, self._limit - watch.seconds) if self._limit else None
                self._pipe.socket.settimeout(left)
                answer: Answer | Part = self._pipe.receive()
                if isinstance(answer, Answer):
                    return answer
                self._pipe.tell(handed(flight, result_of(answer.value)))
        finally:
            watch.stop()

    def _send(self, flight: Flight) -> None:
        new = flight.parameters if flight.parameters != self._sent else None
        self._pipe.socket.settimeout(None)
        sides = dict(self._context.side_inputs)
        told = {name: value for name, value in sides.items() if self._sides.get(name) is not value}
        messages = [value_of_message(one) for one in flight.messages]
        trigger = None if flight.poked is None else flight.poked.trigger
        self._pipe.send(Task(messages, flight.attempts, new, told, flight.parts is not None, trigger))
        self._sent, self._sides = flight.parameters, sides

    def _note(self, flight: Flight, answer: Answer) -> None:
        if answer.told is not None:
            self._merged.merge(answer.told)
        flight.seconds = answer.seconds
        if answer.state:
            flight.fail(ConcurrentStateError(self._context.operator, self._how))
        elif answer.raised is not None:
            flight.fail(Told(*answer.raised))
        else:
            flight.outcomes = [result_of(rest[0]) if kind == "made" else Told(*rest) for kind, *rest in answer.outcomes]

    def _ended(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"its worker process has ended with exit code {code}"
        return f"its worker process was ended by {signal.Signals(-code).name}"

    def _finish(self) -> None:
        self._pipe.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


class _Merged:
    """What the author tells in a worker process, told here: numbers begin anew with each process."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._counters: dict[str, float] = {}

    def begin(self) -> None:
        self._counters = {}

    def merge(self, told: Mapping[str, Any]) -> None:
        for name, value in told["counters"].items():
            self._telling.count(name, value - self._counters.get(name, 0))
        self._counters = dict(told["counters"])
        for name, value in told["gauges"].items():
            self._telling.set(name, value)
        if told["progress"] is not None:
            self._telling.come_to(told["progress"])
        if told["status"]:
            self._telling.say(told["status"])

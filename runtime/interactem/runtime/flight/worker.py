"""`python -m interactem.runtime.flight.worker FD PARENT`: calls a kernel for its replica, in a process of its own.

On the socket with that number come its `Surroundings` first, which are answered once it is set up; then one `Task`
after the other. What a generator yields comes back as one `Part` after the other, each of which is answered with
whether more is wanted, before the task's `Answer`. The socket's end ends the process.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interactem.runtime.context import Context
from interactem.runtime.dependencies import Dependencies
from interactem.runtime.errors import LoadError, SetUpError, StateError
from interactem.runtime.failures import RAISED, Failure
from interactem.runtime.flight.pipes import Pipe, message_of, value_of_result
from interactem.runtime.flight.seats import Seat
from interactem.runtime.flight.watch import Watch
from interactem.runtime.kernels import Kernel
from interactem.runtime.loading import load
from interactem.runtime.logs import carry
from interactem.runtime.messages import BytesMessage
from interactem.runtime.path_mapping import PathRule
from interactem.runtime.secrets import Mask
from interactem.runtime.tether import die_with_parent

__all__ = ["Answer", "Part", "Surroundings", "Task", "main"]

_AHEAD = 16
"""So many parts are sent before the first of them is answered."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker has to know before its first task."""

    program: Path
    operator: str
    replica: int
    replicas: int
    run: str
    outputs: Path
    work: Path | None
    init_data: dict[str, Any]
    path_rules: tuple[PathRule, ...]
    mask: Mask
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Task:
    """Messages for one call. `parameters` is None where they are what they were."""

    messages: list[tuple[Any, ...]]
    attempts: list[int]
    parameters: dict[str, Any] | None
    side_inputs: dict[str, Any]
    """Those whose values are new."""
    streams: bool = False
    """Whether what is yielded is sent part by part."""
    trigger: str | None = None
    """For which there is a call without a message."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a generator has yielded once."""

    value: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """A result for each message, ("made", it) or ("error", error, traceback); or that the call has `raised`.

    `state` says that it has asked for what there cannot be. `told` is what the author has told, where that is new.
    """

    outcomes: list[tuple[Any, ...]]
    raised: tuple[str, str] | None = None
    state: bool = False
    seconds: float = 0.0
    told: dict[str, Any] | None = None


def main(arguments: Sequence[str]) -> int:
    number, parent = map(int, arguments)
    die_with_parent(parent)
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the replica decides when its workers end
        signal.signal(ignored, signal.SIG_IGN)
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    faulthandler.enable()
    pipe = Pipe(socket.socket(fileno=number))
    with suppress(EOFError, OSError):
        _live(pipe, pipe.receive())
    return 0


def _live(pipe: Pipe, around: Surroundings) -> None:
    context = Context(
        operator=around.operator,
        replica=around.replica,
        replicas=around.replicas,
        run=around.run,
        outputs=around.outputs,
        work=around.work,
        path_rules=around.path_rules,
        mask=around.mask,
        init_data=around.init_data,
    )
    context.timeout = around.timeout
    dependencies: Dependencies | None = None
    try:
        kernel = load(around.program)
        dependencies = Dependencies(kernel, context)
        dependencies.set_up()
        seat = Seat(kernel, context, str(kernel.mode), around.timeout)
        carry(seat.context)
    except (LoadError, SetUpError) as error:
        pipe.send(str(error))
        if dependencies is not None:
            dependencies.tear_down()
        return
    try:
        pipe.send("")
        _Work(pipe, kernel, seat).go_on()
    finally:
        dependencies.tear_down()


class _Work:
    def __init__(self, pipe: Pipe, kernel: Kernel, seat: Seat) -> None:
        self._pipe = pipe
        self._coroutine = kernel.coroutine
        self._seat = seat
        self._parameters: dict[str, Any] = {}
        self._told: dict[str, Any] = seat.context.telling.to_value()
        self._runner: asyncio.Runner | None = None
        self._watch = Watch()
        self._ahead = 0

    def go_on(self) -> None:
        """Until the other end is gone. Raises `EOFError` then."""
        while True:
            task: Task = self._pipe.receive()
            if task.parameters is not None:
                self._parameters = task.parameters
            self._seat.context.side_inputs.update(task.side_inputs)
            self._pipe.send(self._answer(task))

    def _answer(self, task: Task) -> Answer:
        messages = [message_of(value) for value in task.messages]
        self._seat.take(messages, task.attempts, task.trigger)
        self._watch.start()
        try:
            results = self._results(messages, task)
            seconds = self._watch.stop()
            return Answer([self._outcome(result) for result in results], seconds=seconds, told=self._new())
        except StateError:
            return Answer([], state=True)
        except RAISED as error:
            failure = Failure.of(error, 1)
            told = failure.error, failure.traceback
            return Answer([], raised=told, seconds=self._watch.stop(), told=self._new())
        finally:
            self._seat.leave()

    def _results(self, messages: list[BytesMessage], task: Task) -> list[Any]:
        if task.trigger is not None:
            return [self._seat.answer_poke(self._parameters, self._run)]
        return self._stream(messages) if task.streams else self._call(messages)

    def _call(self, messages: list[BytesMessage]) -> list[Any]:
        if not self._coroutine:
            return self._seat.answer(messages, self._parameters)
        results: list[Any] = self._run(self._seat.answer_later(messages, self._parameters))
        return results

    def _run(self, coroutine: Any) -> Any:
        if self._seat.context.loop is not None:
            return self._seat.context.loop.run(coroutine)
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def _stream(self, messages: list[BytesMessage]) -> list[Any]:
        """Send what the kernel yields as it is yielded; what is left of the call is nothing."""
        run = self._run if self._coroutine else None
        try:
            self._seat.stream(messages, self._parameters, self._watch, self._hand, run)
        finally:
            while self._ahead:
                self._hear()
        return [None]

    def _hand(self, part: Any) -> bool:
        """Whether more is wanted, as far as that is known."""
        value = Part(value_of_result(part))
        with self._watch.standing():
            self._pipe.send(value)
            self._ahead += 1
            return self._ahead < _AHEAD or self._hear()

    def _hear(self) -> bool:
        self._ahead -= 1
        return self._pipe.told()

    def _outcome(self, result: Any) -> tuple[Any, ...]:
        try:
            if isinstance(result, Exception):
                raise result
            return "made", value_of_result(result)
        except StateError:
            raise
        except Exception as error:
            failure = Failure.of(error, 1)
            return "error", failure.error, failure.traceback

    def _new(self) -> dict[str, Any] | None:
        told = self._seat.context.telling.to_value()
        if told == self._told:
            return None
        self._told = told
        return told


if __name__ == "__main__":
    # what is pickled here must have the names that the replica knows
    from interactem.runtime.flight.worker import main as run

    sys.exit(run(sys.argv[1:]))

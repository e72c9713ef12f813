"""`python -m interactem.runtime.flight.worker FD PARENT`: calls a kernel for its replica, in a process of its own.

On the socket with that number comes a `Task` first that says what the kernel is and how its surroundings are, and is
answered once it is set up; then one task after the other. Its end ends the process.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interactem.runtime.context import Context
from interactem.runtime.dependencies import Dependencies
from interactem.runtime.errors import LoadError, SetUpError, StateError
from interactem.runtime.failures import Failure
from interactem.runtime.flight.pipes import Pipe, message_of, value_of_result
from interactem.runtime.flight.seats import Seat
from interactem.runtime.kernels import Kernel
from interactem.runtime.loading import load
from interactem.runtime.logs import carry
from interactem.runtime.messages import BytesMessage
from interactem.runtime.path_mapping import PathRule
from interactem.runtime.secrets import Mask
from interactem.runtime.tether import die_with_parent

__all__ = ["Answer", "Surroundings", "Task", "main"]


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
    attempt: int
    parameters: dict[str, Any] | None
    side_inputs: dict[str, Any]
    """Those whose values are new."""


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

    def go_on(self) -> None:
        """Until the other end is gone. Raises `EOFError` then."""
        while True:
            task: Task = self._pipe.receive()
            if task.parameters is not None:
                self._parameters = task.parameters
            self._seat.context.side_inputs.update(task.side_inputs)
            self._pipe.send(self._answer([message_of(value) for value in task.messages], task.attempt))

    def _answer(self, messages: list[BytesMessage], attempt: int) -> Answer:
        self._seat.take(messages, attempt)
        begun = time.perf_counter()
        try:
            results = self._call(messages)
            seconds = time.perf_counter() - begun
            return Answer([self._outcome(result) for result in results], seconds=seconds, told=self._new())
        except StateError:
            return Answer([], state=True)
        except Exception as error:
            failure = Failure.of(error, attempt)
            seconds = time.perf_counter() - begun
            return Answer([], raised=(failure.error, failure.traceback), seconds=seconds, told=self._new())
        finally:
            self._seat.leave()

    def _call(self, messages: list[BytesMessage]) -> list[Any]:
        if not self._coroutine:
            return self._seat.answer(messages, self._parameters)
        answer = self._seat.answer_later(messages, self._parameters)
        if self._seat.context.loop is not None:
            results: list[Any] = self._seat.context.loop.run(answer)
            return results
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(answer)

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

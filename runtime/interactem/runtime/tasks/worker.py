"""`python -m interactem.runtime.tasks.worker SOCKET SLOT`: one operator, started, and called with tasks.

It is told first what `sessions.Request` has, then lists of tasks, `[line number, line]`. It says that it is `ready`, or
the `error` that it could not start for; then, for tasks in their order, `results`: the lengths of the lines, their
statuses and the lines, with the seconds that it took. At the end of what it is told it stops, and says how that
`ended`. SIGTERM lets it end the task that it is at and leave the others.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from interactem.runtime.errors import ParametersError
from interactem.runtime.failures import Failure
from interactem.runtime.kernels import Kernel
from interactem.runtime.logs import log_alone
from interactem.runtime.mapped_values import with_mapped_values
from interactem.runtime.messages import BytesMessage
from interactem.runtime.sessions import INVALID, Request, Session, outcome_of
from interactem.runtime.tasks import talking
from interactem.runtime.tasks.lines import (
    CANCELLED,
    FAILED,
    STATUSES,
    SUCCESS,
    Task,
    TaskError,
    content,
    error_value,
    message_value,
    parse_task,
    result_line,
)
from interactem.runtime.tasks.slots import CANCEL, FAIL, TaskSlot
from interactem.runtime.testing import InputError
from interactem.runtime.tether import die_with_parent
from interactem.runtime.typed_parameters import validated
from interactem.spec import OperatorSpec, Problem, SpecError
from interactem.spec.parameters import coerce
from interactem.spec.wording import suggest

__all__ = ["main"]

FLUSH_SECONDS = 0.002
"""Results of so much time are sent together."""
FLUSH_BYTES = 2**20
LONGEST_SECONDS = 1e9
"""A timer cannot be set to much more than that; some 30 years, in which no limit is reached."""
_SUCCESS, _CANCELLED = STATUSES.index(SUCCESS), STATUSES.index(CANCELLED)


class TimeUp(KeyboardInterrupt):
    """A task has outlasted its limit: not an `Exception`, which a kernel may well catch."""


class Results:
    """Results on their way, sent together."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lines: list[bytes] = []
        self._statuses = bytearray()
        self._bytes = 0
        self._begun = time.perf_counter()

    def add(self, line: bytes, status: int) -> None:
        self._lines.append(line)
        self._statuses.append(status)
        self._bytes += len(line)
        if self._bytes > FLUSH_BYTES or time.perf_counter() - self._begun > FLUSH_SECONDS:
            self.send()

    def begin(self) -> None:
        self._begun = time.perf_counter()

    def send(self) -> None:
        if self._lines:
            seconds = time.perf_counter() - self._begun
            lengths = [len(line) for line in self._lines]
            sent = {"lengths": lengths, "statuses": bytes(self._statuses), "seconds": seconds}
            self._channel.sendall(talking.pack({"results": {**sent, "lines": b"".join(self._lines)}}))
            self._lines, self._statuses, self._bytes = [], bytearray(), 0
        self._begun = time.perf_counter()


class Worker:
    def __init__(self, request: Request, folder: Path, channel: socket.socket, slot: TaskSlot) -> None:
        self._request = request
        self._folder = folder
        self._channel = channel
        self._slot = slot
        self._session = Session(request)
        self._results = Results(channel)
        self._stopped = False
        self._begun = 0
        self._limited = False

    def run(self) -> None:
        try:
            self._session.start()
            self._operator = self._session.operator
            if self._operator.source:
                raise InputError(f"{self._request.operator} is a source, which takes no tasks")
        except BaseException as error:
            self._session.stop()
            outcome = outcome_of(error, self._request.mask)
            self._say({"error": outcome.error or f"it ended itself with {outcome.code}", "code": outcome.code or 1})
            return
        self._kernel: Kernel = self._operator.kernel
        self._port = self._operator.input_port(BytesMessage(port=self._request.port))
        self._timeout = None if self._operator.spec is None else self._operator.spec.timeout
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGALRM, self._on_time)
        gc.freeze()
        self._say({"ready": True})
        self._work()
        self._say({"ended": self._session.stop().error})

    def _say(self, value: dict[str, Any]) -> None:
        self._channel.sendall(talking.pack(value))

    def _work(self) -> None:
        while not self._stopped and (tasks := talking.receive(self._channel)) is not None:
            self._results.begin()
            for number, line in tasks:
                if self._stopped:
                    break
                self._begun += 1
                result, status = self._one(number, line)
                self._slot.end()
                self._results.add(result, status)
            self._results.send()

    def _on_stop(self, number: int, frame: object) -> None:
        self._stopped = True
        if not self._slot.number:
            self._channel.shutdown(socket.SHUT_RD)  # nothing goes on: it waits for what there is to do

    # one task

    def _one(self, number: int, line: bytes) -> tuple[bytes, int]:
        self._slot.begin(self._begun)
        task = Task()
        try:
            task = parse_task(line)
            value = self._called(task, number)
            return result_line(task.id, number, SUCCESS, value), _SUCCESS
        except TaskError as error:
            return self._failed(error.id, number, error_value("TaskError", str(error)))
        except TimeUp as up:
            if up.args[0] == CANCEL:
                value = error_value("Cancelled", "its deadline has passed")
                return result_line(task.id, number, CANCELLED, value), _CANCELLED
            return self._failed(task.id, number, error_value("TimeoutError", _over(self._timeout)))
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            return self._failed(task.id, number, self._said(error))

    def _failed(self, name: object, number: int, value: dict[str, Any]) -> tuple[bytes, int]:
        return result_line(name, number, FAILED, value), STATUSES.index(FAILED)

    def _said(self, error: BaseException) -> dict[str, Any]:
        failure = Failure.of(error, 1, self._request.mask.text)
        kind, _, text = failure.error.partition(": ")
        return error_value(kind, text, failure.traceback)

    def _called(self, task: Task, number: int) -> dict[str, Any]:
        """What the kernel has made, as the result says it."""
        if task.deadline is not None or self._timeout is not None:
            return self._in_time(task, number)
        return self._call(task, number)

    def _call(self, task: Task, number: int) -> dict[str, Any]:
        message = content(task, self._folder)
        message.port, message.id = self._port, f"task.{number}"
        parameters = self._operator.parameters if task.options is None else self._with(task)
        made = self._operator.invoke(message, parameters)
        if made is None:
            return {}
        if type(made) is BytesMessage and made.target is None:
            return message_value(made)
        several = [message_value(one) for one in self._operator.messages(made)]
        return several[0] if isinstance(made, BytesMessage) else {"results": several}

    def _with(self, task: Task) -> Any:
        """The parameters for one task. Raises `TaskError` for options that do not fit."""
        given, spec, model = task.options or {}, self._operator.spec, self._kernel.model
        try:
            if spec is not None:
                typed = given if model is not None else typed_options(spec, given)
                given = with_mapped_values(spec, typed, self._operator.context.path_rules)
            if model is not None:
                return validated(model, {**self._operator.parameters, **given})
        except ParametersError as error:
            raise TaskError(f"its options do not fit {error.model}: {'; '.join(error.problems)}", task.id) from None
        except SpecError as error:
            raise TaskError("; ".join(str(problem) for problem in error.problems), task.id) from None
        return {**self._operator.parameters, **given}

    # limits

    def _in_time(self, task: Task, number: int) -> dict[str, Any]:
        now = time.time()
        left = None if task.deadline is None else task.deadline - now
        if left is not None and left <= 0:
            raise TimeUp(CANCEL)
        limits = [(limit, then) for limit, then in ((left, CANCEL), (self._timeout, FAIL)) if limit is not None]
        limit, then = min(limits)
        self._slot.begin(self._begun, now + limit, then)
        self._limited = True
        signal.setitimer(signal.ITIMER_REAL, min(limit, LONGEST_SECONDS))
        try:
            return self._call(task, number)
        finally:
            self._limited = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._slot.begin(self._begun)

    def _on_time(self, number: int, frame: object) -> None:
        if self._limited:
            self._limited = False
            then = self._slot.then
            self._operator.cancel()
            raise TimeUp(then)


def typed_options(spec: OperatorSpec, options: dict[str, Any]) -> dict[str, Any]:
    """Options as the operator's spec declares its parameters. Raises `SpecError` with everything that does not fit."""
    declared = {parameter.name: parameter for parameter in spec.parameters}
    typed: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in options.items():
        path = f"options.{name}"
        if name not in declared:
            hint = suggest(name, declared, "parameters")
            problems.append(Problem("", path, "the operator has no such parameter", hint))
        elif declared[name].type in ("mount", "connection"):
            problems.append(Problem("", path, f"a {declared[name].type} is the same for all tasks", "give it with -p"))
        else:
            try:
                typed[name] = coerce(declared[name], value, path)
            except SpecError as error:
                problems += error.problems
    if problems:
        raise SpecError(problems)
    return typed


def _over(timeout: float | None) -> str:
    return f"the kernel took longer than its limit of {timeout:g} s"


def main(arguments: list[str]) -> int:
    channel, slot = socket.socket(fileno=int(arguments[0])), TaskSlot(int(arguments[1]))
    if sys.platform == "linux":
        die_with_parent(int(arguments[2]))
    for number in (channel.fileno(), slot.descriptor):
        os.set_inheritable(number, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process above says what is to be
    asked = talking.receive(channel)
    if asked is None:
        return INVALID
    request = Request.of(asked)
    log_alone(request.mask)
    Worker(request, Path(asked["folder"]), channel, slot).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

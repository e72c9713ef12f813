"""What operators that wrap a command have in common: the spawner, the values of templates, and what output means."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from interactem.runtime import data_directory
from interactem.runtime.classes import Operator
from interactem.runtime.commands.hooks import CALLBACK_TAKES, Hooks, call
from interactem.runtime.commands.lines import Lines
from interactem.runtime.commands.meanings import Meanings
from interactem.runtime.commands.process import Process, Take
from interactem.runtime.commands.spawner import Spawner
from interactem.runtime.commands.templates import CommandTemplates
from interactem.runtime.context import Context
from interactem.runtime.errors import CancelledCall, CommandError
from interactem.runtime.messages import BytesMessage
from interactem.spec import OperatorSpec

SHOWN_LINES = 10
SHOWN_CHARACTERS = 500
_OURS = "INTERACTEM_"
"""What the runtime is told by, such as where its secrets lie, is no business of a command."""


class CommandOperator(Operator):
    """The base of both: one process a message, and one for many."""

    def __init__(self, spec: OperatorSpec, here: Path, hooks: Hooks) -> None:
        if spec.command is None:
            raise ValueError(f"{spec.label} has no command")
        self.spec = spec
        self.command = spec.command
        self.here = here
        self.hooks = hooks
        self.templates = CommandTemplates(self.command, lambda path: self.context.map_path(path))
        self.meanings = Meanings(self.command.patterns)
        self.last_lines: deque[str] = deque(maxlen=SHOWN_LINES)
        self.errors = Lines(self._complained)
        self._parameters: Mapping[str, Any] = {}
        self._begun = 0.0

    def start(self) -> None:
        self.spawner = Spawner()
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wakes, False)

    def cancel(self) -> None:
        """May be called from a signal handler, or from another thread."""
        with suppress(BlockingIOError):
            os.write(self._wakes, b".")

    def cleanup(self) -> None:
        if hasattr(self, "spawner"):
            self.spawner.close()
            os.close(self._woken)
            os.close(self._wakes)

    def begin(self, parameters: Mapping[str, Any]) -> None:
        """A call begins: a cancellation that came before it was not about it."""
        self._begun = time.monotonic()
        self._parameters = parameters
        self._asleep()

    def pump(self, process: Process, done: Callable[[], bool]) -> None:
        """Until it is done or over, within the time that the call may take."""
        process.pump(done, self.context.timeout, self._begun)

    def values(self, parameters: Mapping[str, Any], context: Context, folder: Path) -> dict[str, Any]:
        """What the templates of a process that outlasts a message may name."""
        return {
            "parameters": dict(parameters),
            "folder": str(folder),
            "outputs": str(context.outputs.absolute()),
            "data": str(data_directory().absolute()),
            "here": str(self.here),
            "python": sys.executable,
            "replica": context.replica,
            "replicas": context.replicas,
        }

    def message_values(
        self, inputs: BytesMessage | None, parameters: Mapping[str, Any], context: Context, folder: Path
    ) -> dict[str, Any]:
        """What the templates of one message may name."""
        meta = {} if inputs is None else inputs.header.meta
        values = {"meta": meta if isinstance(meta, dict) else {}, "attempt": context.attempt}
        return {**self.values(parameters, context, folder), **values}

    def environment(self, values: Mapping[str, Any]) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        return {**ours, **self.templates.environment(values)}

    def write_input(self, name: str, inputs: BytesMessage | None, folder: Path) -> Path:
        """The data as a file in the working folder."""
        file = folder / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"" if inputs is None else inputs.data)
        except OSError as error:
            raise CommandError(f"the message's data cannot be written to {file}: {error.strerror}") from error
        return file

    def spawn(self, arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path, out: Take) -> Process:
        self.last_lines.clear()
        self.errors = Lines(self._complained)  # half a line may be left of the process before
        return Process(
            self.spawner,
            arguments,
            environment,
            folder,
            out=out,
            err=self.errors.feed,
            grace=self.command.grace,
            wake=self._woken,
            on_wake=self._cancelled,
        )

    def understand(self, line: str) -> bool:
        """A line that is no data: what it means, or else for the log. Returns whether it means something."""
        given = {"parameters": self._parameters, "context": self.context}
        callbacks = {name: partial(_call_back, function, given) for name, function in self.hooks.callbacks.items()}
        understood = self.meanings.understand(line, self.context, callbacks)
        if not understood:
            self.context.logger.info("%s", line)
        return understood

    def check_code(self, code: int | None, program: str) -> None:
        """Raises `CommandError` with the last lines that it has printed, where it has not ended well."""
        if code is None or code in self.command.success_codes:
            return
        said = "".join(f"\n{line}" for line in self.last_lines)
        how = f"exit code {code}" if code >= 0 else _signalled(-code)
        name = Path(program).name
        raise CommandError(f"{name} ended with {how}{':' if said else ''}{said}", code=code)

    def _complained(self, line: str) -> None:
        if not self.understand(line):
            self.last_lines.append(line[:SHOWN_CHARACTERS])

    def _asleep(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _cancelled(self) -> None:
        self._asleep()
        raise CancelledCall


def _call_back(function: Any, given: Mapping[str, object], found: re.Match[str]) -> object:
    return call(function, dict(zip(CALLBACK_TAKES, (found, *given.values()), strict=True)))


def _signalled(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL:
        return f"{name}: somebody killed it, or the system did because memory ran out"
    return name

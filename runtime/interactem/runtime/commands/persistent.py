"""An operator whose command takes message after message: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interactem.runtime.commands.answers import answered, question
from interactem.runtime.commands.hooks import arguments_of, call
from interactem.runtime.commands.operators import CommandOperator
from interactem.runtime.commands.process import Process
from interactem.runtime.commands.results import OUTPUT_BYTES, CommandResult, meta_of
from interactem.runtime.context import Context
from interactem.runtime.errors import CommandError, CommandTimeoutError, MessageTooLargeError
from interactem.runtime.messages import BytesMessage

_MEANINGFUL = b"openjd_"
"""What no line of JSON begins with."""


class PersistentOperator(CommandOperator):
    """One process, started with the first message, and again after it has ended or what it is started with changes."""

    _process: Process | None = None
    _started_with: tuple[tuple[str, ...], dict[str, str]] | None = None
    _folder: Path

    def run(self, inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> Any:
        self.begin(parameters)
        try:
            return self._results(inputs, parameters, context)
        except BaseException as error:
            if self._process is not None and self._process.ending:
                self._let_go()
            if isinstance(error, Exception) and self.command.keep_failed:
                error.add_note(f"its working folder is kept: {context.keep_folder()}")
            raise
        finally:
            context.remove_folder()

    def stop(self) -> None:
        """Its standard input ends, and it has the grace to end by itself."""
        if self._process is None:
            return
        process = self._process
        try:
            process.write(memoryview(b""), close=True)
            process.pump(lambda: False, self.command.grace, time.monotonic())
        except CommandTimeoutError:
            self.context.logger.warning("the command did not end when its standard input did, and was ended")
        finally:
            self._let_go()
        try:
            self.check_code(process.ended_with, self._program)
        except CommandError as error:
            self.context.logger.warning("%s", error)

    def cleanup(self) -> None:
        self._let_go()
        super().cleanup()

    @property
    def _program(self) -> str:
        return "" if self._started_with is None else self._started_with[0][0]

    def _results(self, inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> Any:
        seen = {"inputs": inputs, "parameters": parameters, "context": context}
        folder = context.folder
        file = None
        values = self.message_values(inputs, parameters, context, folder)
        if (name := self.templates.input_file(values)) is not None:
            file = self.write_input(name, inputs, folder)
        if self.hooks.prerun is not None:
            call(self.hooks.prerun, seen)
        process = self._ready(parameters, context)
        asked = question(inputs, parameters, folder=folder, file=file, attempt=context.attempt)
        line = self._exchange(process, asked)
        made = answered(line, inputs, meta_of(inputs), folder)
        if self.hooks.postrun is not None:
            result = CommandResult(0, line.encode(), (), folder, tuple(self.last_lines))
            chosen = call(self.hooks.postrun, {"result": result, **seen})
            made = made if chosen is None else chosen
        return made

    def _exchange(self, process: Process, asked: bytes) -> str:
        """The line that answers. Raises where there is none: then the process has ended, or is to."""
        process.write(memoryview(asked), close=False)
        self.pump(process, lambda: bool(self._answers))
        if process.over and not self._answers:
            self._let_go()
            self.check_code(process.ended_with, self._program)
            raise CommandError(f"{Path(self._program).name} ended and left a message without an answer")
        line = self._answers.popleft()
        if self._answers:
            extra = self._answers[0]
            self._let_go()
            raise CommandError(f"the command printed more than one line for a message: {extra[:200]}")
        return line

    def _ready(self, parameters: Mapping[str, Any], context: Context) -> Process:
        """The process: a new one where there is none, or where it would now be started with something else."""
        if self._process is None:
            self._folder = context.make_folder("process")
        values = self.values(parameters, context, self._folder)
        hook = self.hooks.command
        arguments = self.templates.arguments(values) if hook is None else arguments_of(hook, dict(values))
        wanted = arguments, self.environment(values)
        if self._process is not None and (self._process.ended or wanted != self._started_with):
            self.stop()
            return self._ready(parameters, context)
        if self._process is None:
            self._answers: deque[str] = deque()
            self._half = bytearray()
            self._started_with = wanted
            self._process = self.spawn(*wanted, self._folder, self._take)
        return self._process

    def _let_go(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _take(self, data: bytes) -> None:
        """Standard output: lines that answer, and lines that mean something."""
        first, *others = data.split(b"\n")
        self._half += first
        lines = []
        for other in others:
            lines.append(bytes(self._half))
            self._half = bytearray(other)
        if len(self._half) > OUTPUT_BYTES:
            raise MessageTooLargeError(len(self._half), OUTPUT_BYTES, "an answer")
        for line in lines:
            if line.startswith(_MEANINGFUL):
                self.understand(line.decode("utf-8", "replace"))
            elif line.strip():
                self._answers.append(line.decode("utf-8", "replace"))

"""An operator that starts its command once for each message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interactem.runtime.commands.hooks import arguments_of, call
from interactem.runtime.commands.lines import Lines
from interactem.runtime.commands.operators import CommandOperator
from interactem.runtime.commands.results import (
    Collected,
    CommandResult,
    file_messages,
    files_in,
    keep_files,
    meta_of,
)
from interactem.runtime.context import Context
from interactem.runtime.errors import CommandError
from interactem.runtime.messages import BytesMessage, MessageHeader


class OnceOperator(CommandOperator):
    """One process for each message; in a source, one altogether."""

    def run(self, inputs: BytesMessage | None, parameters: dict[str, Any], context: Context) -> Iterator[Any]:
        self.begin(parameters)
        try:
            yield from self._results(inputs, parameters, context)
        except Exception as error:
            if self.command.keep_failed:
                error.add_note(f"its working folder is kept: {context.keep_folder()}")
            raise
        finally:
            context.remove_folder()

    def _results(self, inputs: BytesMessage | None, parameters: dict[str, Any], context: Context) -> Iterator[Any]:
        folder = context.folder
        seen = {"inputs": inputs, "parameters": parameters, "context": context}
        values = self.message_values(inputs, parameters, context, folder)
        given = None
        if (name := self.templates.input_file(values)) is not None:
            given = self.write_input(name, inputs, folder)
            values["input"] = str(given)
        if self.hooks.prerun is not None:
            call(self.hooks.prerun, seen)
        result = self._run(inputs, values, folder, given)
        if self.hooks.postrun is not None:
            made = call(self.hooks.postrun, {"result": result, **seen})
            if made is not None:
                yield made
                return
        yield from self._made(inputs, result, values, context)

    def _run(
        self, inputs: BytesMessage | None, values: Mapping[str, Any], folder: Path, given: Path | None
    ) -> CommandResult:
        """Start the command and see it to its end. Raises `CommandError` where that is not a good one."""
        hook, pattern = self.hooks.command, self.templates.output_files(values)
        arguments = self.templates.arguments(values) if hook is None else arguments_of(hook, dict(values))
        output, lines = Collected(), Lines(self.understand)
        is_data = pattern is None and bool(self.spec.outputs)
        process = self.spawn(arguments, self.environment(values), folder, output.take if is_data else lines.feed)
        try:
            process.write(self._feed(inputs, given), close=True)
            self.pump(process, lambda: False)
        finally:
            process.close()
        lines.close()
        self.errors.close()
        self.check_code(code := process.ended_with, arguments[0])
        files = () if pattern is None else files_in(folder, pattern, given)
        return CommandResult(code, output.data, files, folder, tuple(self.last_lines))

    def _feed(self, inputs: BytesMessage | None, given: Path | None) -> memoryview:
        return memoryview(b"" if inputs is None or given is not None else inputs.data).cast("B")

    def _made(
        self, inputs: BytesMessage | None, result: CommandResult, values: Mapping[str, Any], context: Context
    ) -> Iterator[BytesMessage]:
        """The messages that the command has made; of a sink, its files go into the run's outputs."""
        meta, pattern = meta_of(inputs), self.templates.output_files(values)
        if pattern is None:
            if self.spec.outputs:
                yield BytesMessage(MessageHeader(meta=meta), result.data)
            return
        if not result.files:
            there = ", ".join(sorted(path.name for path in result.folder.iterdir())[:10]) or "nothing"
            raise CommandError(f"the command has made no file {pattern!r} in its working folder; there is: {there}")
        if self.spec.outputs:
            yield from file_messages(result, meta)
        else:
            keep_files(result.files, result.folder, context.outputs)

"""The templates of a command, filled in for a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from interactem.runtime.errors import CommandError
from interactem.spec.commands import CommandOption, CommandSpec, inner_path
from interactem.spec.jinja import Templates
from interactem.spec.values import MisfitError

Values = Mapping[str, Any]
"""What templates may name."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is to be started: the program with its arguments, and the variables that are added to ours."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class CommandTemplates:
    """Each method raises `CommandError` with the JSON path of a template that cannot be filled in."""

    def __init__(self, command: CommandSpec, map_path: Callable[[str], str]) -> None:
        self._jinja = Templates(map_path)
        self._arguments = [
            (self._condition(index, given), self._texts(index, given)) for index, given in enumerate(command.arguments)
        ]
        self._environment = {
            name: self._text(text, f"environment.{name}") for name, text in command.environment.items()
        }
        self._input = None if command.input_file is None else self._text(command.input_file, "input")
        self._output = None if command.output_files is None else self._text(command.output_files, "output")

    def arguments(self, values: Values) -> tuple[str, ...]:
        return tuple(text(values) for condition, texts in self._arguments if condition(values) for text in texts)

    def environment(self, values: Values) -> dict[str, str]:
        return {name: text(values) for name, text in self._environment.items()}

    def input_file(self, values: Values) -> str | None:
        """The name of the file for the data, in the working folder; None where it goes to standard input."""
        return None if self._input is None else _inside(self._input(values), "file")

    def output_files(self, values: Values) -> str | None:
        """The pattern of the files that the results come from; None where they come from standard output."""
        return None if self._output is None else _inside(self._output(values), "pattern")

    def _texts(self, index: int, given: str | CommandOption) -> list[Callable[[Values], str]]:
        where = f"arguments[{index}]"
        if isinstance(given, str):
            return [self._text(given, where)]
        return [self._text(text, f"{where}.arguments[{inner}]") for inner, text in enumerate(given.arguments)]

    def _condition(self, index: int, given: str | CommandOption) -> Callable[[Values], bool]:
        if isinstance(given, str):
            return lambda values: True
        expression = self._jinja.compile_expression(given.when, undefined_to_none=False)
        return lambda values: _filled(f"arguments[{index}].when", lambda: bool(expression(values)))

    def _text(self, text: str, where: str) -> Callable[[Values], str]:
        if "{" not in text:
            return lambda values: text
        template = self._jinja.from_string(text)
        return lambda values: _without_null(where, _filled(where, lambda: template.render(values)))


def _filled(where: str, fill: Callable[[], Any]) -> Any:
    try:
        return fill()
    except Exception as error:  # a template may raise whatever an operation on its values does
        raise CommandError(f"$.command.{where} cannot be filled in: {error}") from error


def _without_null(where: str, text: str) -> str:
    if "\0" in text:
        raise CommandError(f"$.command.{where} has a NUL character in it, which no argument can have")
    return text


def _inside(path: str, what: str) -> str:
    try:
        return inner_path(path, what)
    except MisfitError as error:
        raise CommandError(str(error)) from None

"""Commands: what an `operator.json` says of the executable that its operator wraps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from interactem.spec.models import SpecModel, refuse
from interactem.spec.values import MisfitError

STDIN, STDOUT = "stdin", "stdout"
FILE, FILES = "file:", "files:"
INPUT_PATTERN = r"^(stdin|file:.+)$"
OUTPUT_PATTERN = r"^(stdout|files:.+)$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
FUNCTION_PATTERN = r"^[A-Za-z_]\w*$"
DEFAULT_GRACE = 5.0

_Template = Annotated[str, Field(pattern=r"^[^\x00]*$")]
_Code = Annotated[int, Field(ge=0, le=255)]


class CommandOption(SpecModel):
    """Arguments that are there under a condition alone."""

    when: str = Field(min_length=1)
    """A jinja2 expression over the same names as in the templates, such as `parameters.reverse`."""
    arguments: Annotated[tuple[_Template, ...], BeforeValidator(lambda value: _listed(value))] = Field(min_length=1)
    """The arguments that the condition is about, templates like the others."""


def _form(value: object) -> str:
    return "[option]" if isinstance(value, dict | CommandOption) else "[text]"


CommandArgument = Annotated[
    Annotated[_Template, Tag("[text]")] | Annotated[CommandOption, Tag("[option]")], Discriminator(_form)
]
"""A template, or several under a condition."""


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _regular_expression(value: object) -> object:
    if isinstance(value, str):
        try:
            re.compile(value)
        except (re.error, OverflowError) as error:
            raise refuse(f"is not a regular expression: {error}", "a backslash is written twice in JSON") from None
    return value


_Expression = Annotated[str, Field(min_length=1), BeforeValidator(_regular_expression)]
_Expressions = Annotated[
    tuple[_Expression, ...],
    BeforeValidator(
        lambda value: () if value is None else _listed(value), json_schema_input_type=list[_Expression] | None
    ),
]


class CommandPatterns(SpecModel):
    """What lines of the command's output mean; the first group of an expression is the value, else all of the match."""

    progress: _Expressions = ()
    """Expressions whose value is a percentage."""
    status: _Expressions = ()
    """Expressions whose value says what is being done."""
    failure: _Expressions = ()
    """Expressions that fail the message, with their value as the reason."""
    callbacks: dict[Annotated[str, Field(pattern=FUNCTION_PATTERN)], _Expression] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )
    """Functions of run.py by their names, each with the expression that it is called for."""


class CommandSpec(SpecModel):
    """The executable that an operator wraps. What is a template is one of jinja2."""

    arguments: Annotated[
        tuple[CommandArgument, ...],
        BeforeValidator(
            lambda value: () if value is None else _listed(value), json_schema_input_type=list[CommandArgument] | None
        ),
    ] = ()
    """The program and its arguments: a list of templates, never a line for a shell."""
    environment: dict[Annotated[str, Field(pattern=VARIABLE_PATTERN)], _Template] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )
    """Environment variables that are added, each a template."""
    input: str = Field(default=STDIN, pattern=INPUT_PATTERN)
    """Where the message's data goes: `stdin`, or `file:` and a template of a file's name in the working folder."""
    output: str = Field(default=STDOUT, pattern=OUTPUT_PATTERN)
    """Where the results come from: `stdout`, or `files:` and a pattern such as `*.png` in the working folder."""
    persistent: bool = False
    """Whether one process takes message after message: a line of JSON in, a line of JSON out."""
    patterns: CommandPatterns = Field(default_factory=CommandPatterns)
    """What lines of its output mean."""
    success_codes: Annotated[
        tuple[_Code, ...], BeforeValidator(_listed, json_schema_input_type=Annotated[list[_Code], Field(min_length=1)])
    ] = Field(default=(0,), min_length=1)
    """The exit codes that are no failure."""
    grace: float = Field(default=DEFAULT_GRACE, ge=0, le=3600)
    """How long it may take to end after SIGTERM, in seconds, before SIGKILL."""
    keep_failed: bool = False
    """Whether the working folder of a failed message stays, to be looked at."""

    @property
    def input_file(self) -> str | None:
        """The template of the input file's name, or None where the data goes to standard input."""
        return self.input.removeprefix(FILE) if self.input.startswith(FILE) else None

    @property
    def output_files(self) -> str | None:
        """The template of the pattern of the output files, or None where results come from standard output."""
        return self.output.removeprefix(FILES) if self.output.startswith(FILES) else None


def inner_path(text: str, what: str) -> str:
    """A path that stays in the working folder. Raises `MisfitError` for any other; `what` says what it is."""
    parts = text.split("/")
    if not text or text.startswith("/") or ".." in parts or "\0" in text or parts[-1] in ("", "."):
        raise MisfitError(f"{text!r} is no {what} in the working folder", "give a relative path without '..'")
    return text


def templates_in(value: object) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    """The templates in the raw `command` of a file: the steps to each, its text, and whether it is an expression.

    What is not of the form that it should be is left out.
    """
    if not isinstance(value, dict):
        return
    arguments = value.get("arguments")
    for index, argument in enumerate(arguments if isinstance(arguments, list) else ()):
        yield from _of_argument(("arguments", index), argument)
    environment = value.get("environment")
    for name, text in (environment if isinstance(environment, dict) else {}).items():
        yield from _of_text(("environment", name), text)
    for name, prefix in (("input", FILE), ("output", FILES)):
        text = value.get(name)
        if isinstance(text, str) and text.startswith(prefix):
            yield (name,), text.removeprefix(prefix), False


def _of_argument(steps: tuple[str | int, ...], value: Any) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    if not isinstance(value, dict):
        yield from _of_text(steps, value)
        return
    if isinstance(condition := value.get("when"), str):
        yield (*steps, "when"), condition, True
    inner = value.get("arguments")
    for index, text in enumerate(inner if isinstance(inner, list) else ()):
        yield from _of_text((*steps, "arguments", index), text)


def _of_text(steps: tuple[str | int, ...], value: object) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    if isinstance(value, str):
        yield steps, value, False

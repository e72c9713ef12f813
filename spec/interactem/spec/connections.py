"""Connections: what operators connect to, named `@family.alias` in pipelines, with the values in `connections.json`.

The values are secrets as soon as a variable is among them: nothing here quotes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interactem.spec.errors import Problem, SpecError
from interactem.spec.lines import line_numbers
from interactem.spec.parsing import read_json
from interactem.spec.templates import fill
from interactem.spec.wording import join_path, kind, suggest

CONNECTIONS = "connections.json"
_SHAPE = '{"family": {"alias": {"key": value}}}'


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection's values with all variables in place. `secrets` are the texts that came from variables."""

    values: dict[str, Any]
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Connection({', '.join(self.values)})"  # it may come into an error's text


@dataclass(frozen=True, slots=True)
class ConnectionUse:
    """A parameter of an operator that names a connection; `source` and `path` say where it does."""

    operator: str
    parameter: str
    reference: str
    source: str = ""
    path: str = ""


class ConnectionsFile:
    """A `connections.json`. `source` is its name. Raises `SpecError` with everything that is not of its shape."""

    def __init__(self, text: str | bytes, source: str) -> None:
        self.source = source
        value = read_json(text, source)
        try:
            self._lines = line_numbers(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
        except RecursionError:
            raise SpecError([Problem(source, "", "is nested too deeply", f"write {_SHAPE}")]) from None
        problems = list(self._misshapen(value))
        if problems:
            raise SpecError(problems)
        self._families: dict[str, dict[str, dict[str, Any]]] = value

    def problem(self, path: str, message: str, hint: str = "") -> Problem:
        return Problem(self.source, f"line {self._lines[path]}, {path}", message, hint)

    def _misshapen(self, value: object) -> Iterator[Problem]:
        levels: list[tuple[str, object]] = [("$", value)]
        for what in ("families", "aliases", "a connection's values"):
            below: list[tuple[str, object]] = []
            for path, given in levels:
                if isinstance(given, dict):
                    below += [(join_path(path, name), member) for name, member in given.items()]
                else:
                    yield self.problem(path, f"should be an object with {what}, not {kind(given)}", f"write {_SHAPE}")
            levels = below

    def find(self, use: ConnectionUse) -> tuple[str, dict[str, Any]]:
        """The path and the values, as they stand in the file, of the connection that is named. Raises `SpecError`."""
        family, _, alias = use.reference.removeprefix("@").partition(".")
        for name, known, what in (
            (family, self._families, "families"),
            (alias, self._families.get(family, {}), f"aliases of {family!r}"),
        ):
            if name not in known:
                message = f"there is no connection {use.reference!r} in {self.source}"
                raise SpecError([Problem(use.source, use.path, message, suggest(name, known, what))])
        return join_path("$", family, alias), self._families[family][alias]

    def resolve(self, use: ConnectionUse, variables: Mapping[str, str]) -> Connection:
        """Raises `SpecError` with all that is missing or malformed in it."""
        path, values = self.find(use)
        filling = _Filling(self, variables)
        filled = {name: filling.value(value, join_path(path, name)) for name, value in values.items()}
        if filling.problems:
            raise SpecError(filling.problems)
        return Connection(filled, tuple(dict.fromkeys(filling.secrets)))


class _Filling:
    """Puts variables into all texts of a connection, at any depth, and collects what is wrong."""

    def __init__(self, file: ConnectionsFile, variables: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.secrets: list[str] = []
        self._file = file
        self._variables = variables

    def value(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {name: self.value(member, join_path(path, name)) for name, member in value.items()}
        if isinstance(value, list):
            return [self.value(item, join_path(path, index)) for index, item in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) else value

    def _text(self, text: str, path: str) -> str:
        filled = fill(text, self._variables)
        for name in filled.unset:
            hint = f"set it, in the environment or in a .env file, or write ${{{name}:default}}"
            self.problems.append(self._file.problem(path, f"the variable {name} is not set", hint))
        for what in filled.malformed:
            hint = "write ${NAME} or ${NAME:default}, and $${ for a literal ${"
            self.problems.append(self._file.problem(path, what, hint))
        if filled.secrets:  # the whole text is one then, such as a URL with a password in it
            self.secrets += [*filled.secrets, filled.text]
        return filled.text


def resolve_connections(
    uses: Iterable[ConnectionUse], file: ConnectionsFile | None, variables: Mapping[str, str]
) -> dict[tuple[str, str], Connection]:
    """The connections, by operator and parameter. Raises `SpecError` with every problem of all of them."""
    found: dict[tuple[str, str], Connection] = {}
    problems: list[Problem] = []
    for use in uses:
        if file is None:
            message = f"{use.reference!r} names a connection, and there is no {CONNECTIONS}"
            hint = f"put one beside the pipeline or into a folder above it: {_SHAPE}"
            problems.append(Problem(use.source, use.path, message, hint))
            continue
        try:
            found[use.operator, use.parameter] = file.resolve(use, variables)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(dict.fromkeys(problems))
    return found

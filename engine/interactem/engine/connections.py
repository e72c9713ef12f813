"""Connections of a run: found beside its pipeline, resolved here, and handed to the replicas in private files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from interactem.engine.files import write_private
from interactem.engine.plan import Plan, connections_named
from interactem.runtime.secrets import Mask, Secrets
from interactem.spec import Graph, OperatorSpec, OperatorSpecParameter, SpecError, coerce, read_json
from interactem.spec.connections import CONNECTIONS, Connection, ConnectionsFile, ConnectionUse, resolve_connections
from interactem.spec.dotenv import parse_dotenv
from interactem.spec.lines import line_numbers
from interactem.spec.pipelines import operator_path

DOTENV = ".env"


@dataclass(frozen=True, slots=True)
class RunConnections:
    """The connections of each operator that has any, by its key and the parameter's name, and the file they are in."""

    of: Mapping[str, Mapping[str, Connection]] = field(default_factory=dict)
    file: str = ""

    def lay_down(self, folder: Path) -> LaidConnections:
        """Write a file for each operator, for its owner alone."""
        files, masks = {}, {}
        for number, (operator, connections) in enumerate(self.of.items()):
            secrets = [secret for connection in connections.values() for secret in connection.secrets]
            values = {name: connection.values for name, connection in connections.items()}
            files[operator] = _file(folder, number)
            masks[operator] = Mask(secrets)
            write_private(files[operator], json.dumps({"connections": values, "secrets": secrets}))
        return LaidConnections(files, masks)


@dataclass(frozen=True, slots=True)
class LaidConnections:
    """The files that replicas read their connections from, by the operators' keys; without their values."""

    files: Mapping[str, Path] = field(default_factory=dict)
    masks: Mapping[str, Mask] = field(default_factory=dict)

    @classmethod
    def find(cls, plan: Plan, folder: Path) -> LaidConnections:
        """Those that an earlier supervisor of the run has laid down. Raises `SettingsError` where they are gone."""
        having = [operator.key for operator in plan.operators if operator.connections]
        files = {operator: _file(folder, number) for number, operator in enumerate(having)}
        return cls(files, {operator: Secrets.read(file).mask for operator, file in files.items()})

    def mask(self, operator: str) -> Mask:
        """Hides the operator's secrets in what its replicas print."""
        return self.masks.get(operator) or Mask()


def _file(folder: Path, number: int) -> Path:
    return folder / f"connections-{number}.json"


def find_connections(pipeline: Path) -> Path | None:
    """The `connections.json` beside a pipeline's file or, nearest, above it; None where there is none."""
    folders = pipeline.absolute().parents
    return next((folder / CONNECTIONS for folder in folders if (folder / CONNECTIONS).is_file()), None)


def connections_of_graph(
    graph: Graph, file: Path | None, environment: Mapping[str, str] = os.environ
) -> RunConnections:
    """The connections that a checked graph names. Raises `SpecError` with everything that is missing or wrong."""
    lines = _lines(Path(graph.source))
    uses = []
    for key in graph.operators:
        for name, reference in connections_named(graph.spec(key), graph.parameters(key)).items():
            path = operator_path(key, "parameters", name)
            where = f"line {lines[path]}, {path}" if path in lines else path
            uses.append(ConnectionUse(key, name, reference, graph.source, where))
    return _resolved(uses, file, environment)


def connections_of_plan(plan: Plan, environment: Mapping[str, str] = os.environ) -> RunConnections:
    """The same for a plan that was made before. Raises `SpecError`."""
    uses = [
        ConnectionUse(operator.key, name, reference, plan.name, operator_path(operator.key, "parameters", name))
        for operator in plan.operators
        for name, reference in operator.connections.items()
    ]
    return _resolved(uses, Path(plan.connections) if plan.connections else None, environment)


def connections_of_operator(
    spec: OperatorSpec, parameters: Mapping[str, object], folder: Path, environment: Mapping[str, str] = os.environ
) -> dict[str, Connection]:
    """The connections of an operator that is called alone, found from its folder upwards. Raises `SpecError`."""
    wanted = [parameter for parameter in spec.parameters if parameter.type == "connection"]
    values = {p.name: coerce(p, parameters.get(p.name, p.default), p.name) for p in wanted if _has_value(p, parameters)}
    uses = [ConnectionUse("", name, str(value), "", name) for name, value in values.items() if value is not None]
    return dict(_resolved(uses, find_connections(folder / CONNECTIONS), environment).of.get("", {}))


def _has_value(parameter: OperatorSpecParameter, given: Mapping[str, object]) -> bool:
    return given.get(parameter.name, parameter.default) is not None


def _resolved(uses: list[ConnectionUse], file: Path | None, environment: Mapping[str, str]) -> RunConnections:
    if not uses:
        return RunConnections()
    given = file if file is not None and file.is_file() else None
    read = None if given is None else ConnectionsFile(given.read_bytes(), str(given))
    variables = {} if given is None else _variables(given.with_name(DOTENV), environment)
    found: dict[str, dict[str, Connection]] = {}
    for (operator, name), connection in resolve_connections(uses, read, variables).items():
        found.setdefault(operator, {})[name] = connection
    return RunConnections(found, str(given.absolute()) if given else "")


def _variables(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What the `.env` beside the connections sets, and the environment, which goes before it."""
    if not file.is_file():
        return dict(environment)
    return {**parse_dotenv(file.read_text(encoding="utf-8", errors="replace"), str(file)), **environment}


def _lines(file: Path) -> dict[str, int]:
    """Where everything stands in a pipeline's file, if it is one."""
    if not file.is_file():
        return {}
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    try:
        read_json(text, str(file))
        return line_numbers(text)
    except (SpecError, RecursionError):  # it was given in another way
        return {}

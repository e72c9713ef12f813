"""interactEM's own pipeline files, made into ours.

Theirs has lists of operators, ports and edges that refer to one another by UUIDs, with or without a `data` object
around them. A port says which operator it belongs to, but not its name, which has to come from the operator's spec, by
the port's place in the operator's list. An edge's `input_id` is the output port that it comes from, and its `output_id`
the input port that it goes to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from interactem.spec.errors import ParameterValueError, Problem, SpecError
from interactem.spec.operators import OperatorSpec
from interactem.spec.parameters import coerce
from interactem.spec.parsing import parse_pipeline, read_json
from interactem.spec.pipelines import KEY_PATTERN
from interactem.spec.values import MisfitError, Value, to_bool, to_float, to_int
from interactem.spec.wording import join_path, kind, show

Direction = Literal["input", "output"]

_OPERATOR_ID_KEYS = ("canonical_operator_id", "operator_id")
_CARRIED = {"id", "image", "label", "parameters", "parallelism", "parallel_config", "inputs", "outputs", "spec_id"}
_NEEDLESS = {"description", "node_type", "type", "position", "tags", "triggers", "canonical_id"}
"""What an operator's spec says, and what the drawing of the page needs."""


@dataclass(slots=True)
class _Operator:
    """An operator of their file, and what it is called in ours."""

    raw: dict[str, Any]
    path: str
    key: str
    name: str
    spec: OperatorSpec | None
    ports: dict[Direction, list[str]] = field(default_factory=lambda: {"input": [], "output": []})


@dataclass(frozen=True, slots=True)
class _Port:
    operator: _Operator
    direction: Direction
    name: str


def import_pipeline(
    given: object, *, catalog: Mapping[str, OperatorSpec] | None = None, name: str = "imported", source: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """A pipeline file of ours (as a JSON value) from one of interactEM's, and notes on what could not be carried over.

    `given` is the file's text or its JSON value. `catalog` has the specs of known operators by name, for the names of
    ports and the types of parameters; an operator that it does not have gets ports named by their place, and a note.
    `name` is the pipeline's where the file has none. Raises `SpecError` where the file is not one of theirs.
    """
    value = read_json(given, source) if isinstance(given, str | bytes) else given
    return _Import(catalog or {}, source).run(value, name)


class _Import:
    def __init__(self, catalog: Mapping[str, OperatorSpec], source: str) -> None:
        self.catalog = catalog
        self.source = source
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        self.operators: dict[str, _Operator] = {}
        self.ports: dict[str, _Port] = {}

    def run(self, value: object, name: str) -> tuple[dict[str, Any], list[str]]:
        data, path, name = self._unwrap(value, name)
        for where, raw in self._items(data, "operators", path):
            self._add_operator(raw, where)
        self._list_ports(data)
        for where, raw in self._items(data, "ports", path):
            self._add_port(raw, where)
        edges = [edge for where, raw in self._items(data, "edges", path) if (edge := self._edge(raw, where))]
        if self.problems:
            raise SpecError(self.problems)
        result: dict[str, Any] = {
            "name": name,
            "operators": {operator.key: self._entry(operator) for operator in self.operators.values()},
            "edges": self._distinct(edges),
        }
        parse_pipeline(result, self.source)
        return result, self.notes

    def _unwrap(self, value: object, name: str) -> tuple[dict[str, Any], str, str]:
        path = "$"
        while isinstance(value, dict):
            if isinstance(value.get("name"), str) and value["name"]:
                name = value["name"]
            if "operators" in value or not isinstance(value.get("data"), dict):
                break
            value, path = value["data"], join_path(path, "data")
        if isinstance(value, dict) and isinstance(value.get("operators"), list):
            return value, path, name
        hint = "an interactEM pipeline has lists of operators, ports and edges"
        if isinstance(value, dict) and isinstance(value.get("operators"), dict):
            hint = "it looks like a pipeline of ours, which needs no import"
        raise SpecError([Problem(self.source, path, "is not an interactEM pipeline", hint)])

    def _items(self, data: dict[str, Any], name: str, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        items = data.get(name) or []
        if not isinstance(items, list):
            self._wrong(join_path(path, name), f"should be a list, not {kind(items)}")
            return
        for index, item in enumerate(items):
            where = join_path(path, name, index)
            if isinstance(item, dict):
                yield where, item
            else:
                self._wrong(where, f"should be an object, not {kind(item)}")

    def _wrong(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.source, path, message, hint))

    # operators

    def _add_operator(self, raw: dict[str, Any], path: str) -> None:
        identity = raw.get("id")
        if not isinstance(identity, str) or not identity:
            self._wrong(join_path(path, "id"), "is missing", "an operator has an id")
        elif identity in self.operators:
            self._wrong(join_path(path, "id"), f"another operator has the id {show(identity)}")
        elif not (name := self._operator_name(raw)):
            self._wrong(path, "does not say which operator it is", "an operator has an image")
        else:
            taken = {operator.key for operator in self.operators.values()}
            operator = _Operator(raw, path, _free_key(name, taken), name, self.catalog.get(name))
            self.operators[identity] = operator
            if operator.spec is None and self.catalog:
                self.notes.append(f"{operator.key}: there is no operator {name!r} here; make one before the first run")

    def _operator_name(self, raw: dict[str, Any]) -> str:
        """The image's name, else what the spec's id says, else the label."""
        name = image_name(raw.get("image"))
        if name in self.catalog:
            return name
        for known, spec in self.catalog.items():
            if str(spec.id) in (raw.get("spec_id"), raw.get("id")):
                return known
        label = raw.get("label")
        return name or (_slug(label) if isinstance(label, str) else "")

    def _entry(self, operator: _Operator) -> dict[str, Any]:
        entry: dict[str, Any] = {"operator": operator.name}
        label = operator.raw.get("label")
        if isinstance(label, str) and label and not (operator.spec and operator.spec.label == label):
            entry["description"] = label
        if parameters := self._parameters(operator):
            entry["parameters"] = parameters
        replicas = self._replicas(operator)
        if replicas > 1:
            entry["replicas"] = replicas
        for name, value in operator.raw.items():
            if name not in _CARRIED | _NEEDLESS and value not in (None, "", [], {}):
                self.notes.append(f"{operator.key}: {name!r} is left out: {show(value)}")
        return entry

    def _replicas(self, operator: _Operator) -> int:
        config = operator.raw.get("parallel_config")
        parallel = isinstance(config, dict) and config.get("type") == "embarrassing"
        count = operator.raw.get("parallelism")
        if isinstance(count, int) and not isinstance(count, bool) and count > 1:
            if operator.spec is None or operator.spec.embarrassing:
                return count
            self.notes.append(f"{operator.key}: {count} replicas became 1, as its spec does not allow several")
        elif count is None and parallel:
            self.notes.append(f'{operator.key}: has 1 replica here; it may have several, set with "replicas"')
        return 1

    def _parameters(self, operator: _Operator) -> dict[str, Value]:
        raw = operator.raw.get("parameters") or []
        if isinstance(raw, dict):
            raw = [{"name": name, "value": value} for name, value in raw.items()]
        values: dict[str, Value] = {}
        for item in raw if isinstance(raw, list) else []:
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str):
                self.notes.append(f"{operator.key}: a parameter without a name is left out: {show(item)}")
                continue
            given = item["value"] if item.get("value") is not None else item.get("default")
            if given is not None:
                self._set_parameter(operator, name, given, item.get("type"), values)
        return values

    def _set_parameter(
        self, operator: _Operator, name: str, given: object, type_: object, values: dict[str, Value]
    ) -> None:
        if operator.spec is None:
            value = _typed(given, type_)
        else:
            parameter = operator.spec.parameter(name)
            if parameter is None:
                self.notes.append(f"{operator.key}: its spec has no parameter {name!r}; {show(given)} is left out")
                return
            try:
                value = coerce(parameter, given)
            except ParameterValueError as error:
                self.notes.append(f"{operator.key}: {error.problems[0].message}; it is left out")
                return
            if value == parameter.default:
                return
        if value is None or isinstance(value, str | int | float | bool):
            values[name] = value
        else:
            self.notes.append(f"{operator.key}: parameter {name!r} cannot be {kind(value)}; it is left out")

    # ports and edges

    def _list_ports(self, data: dict[str, Any]) -> None:
        """The order of each operator's ports: as the operator lists them, else as they come in the list of ports."""
        for operator in self.operators.values():
            for direction in ("input", "output"):
                listed = operator.raw.get(f"{direction}s") or []
                if isinstance(listed, list):
                    operator.ports[direction] = [one for one in listed if isinstance(one, str)]
        ports = data.get("ports")
        for raw in ports if isinstance(ports, list) else ():
            if isinstance(raw, dict) and (owner := self._owner(raw)) and raw.get("port_type") in ("input", "output"):
                ids = owner.ports[raw["port_type"]]
                if isinstance(raw.get("id"), str) and raw["id"] not in ids:
                    ids.append(raw["id"])

    def _owner(self, raw: dict[str, Any]) -> _Operator | None:
        found = (self.operators.get(raw[key]) for key in _OPERATOR_ID_KEYS if isinstance(raw.get(key), str))
        return next((operator for operator in found if operator), None)

    def _add_port(self, raw: dict[str, Any], path: str) -> None:
        identity, owner = raw.get("id"), self._owner(raw)
        if not isinstance(identity, str):
            self._wrong(join_path(path, "id"), "is missing", "a port has an id")
        elif owner is None:
            self._wrong(path, "belongs to no operator of this file", 'its "canonical_operator_id" is the id of one')
        else:
            directions: tuple[Direction, Direction] = ("input", "output")
            direction = next((one for one in directions if identity in owner.ports[one]), None)
            if direction is None:
                self._wrong(join_path(path, "port_type"), "is missing", 'give "input" or "output"')
                return
            self.ports[identity] = _Port(owner, direction, self._port_name(owner, direction, raw))

    def _port_name(self, operator: _Operator, direction: Direction, raw: dict[str, Any]) -> str:
        index = operator.ports[direction].index(raw["id"])
        key = raw.get("portkey")
        spec = operator.spec
        known = [port.name for port in (spec.inputs if direction == "input" else spec.outputs)] if spec else []
        if isinstance(key, str) and (key in known or (spec is None and key and not _is_uuid(key))):
            return key
        if index < len(known):
            return known[index]
        name = f"{direction}-{index + 1}"
        self.notes.append(f"{operator.key}: its {direction} {index + 1} has no known name; it is {name!r} for now")
        return name

    def _edge(self, raw: dict[str, Any], path: str) -> dict[str, str] | None:
        given = {name: raw.get(name) for name in ("input_id", "output_id")}
        if any(isinstance(identity, str) and identity in self.operators for identity in given.values()):
            return None  # their expanded form joins operators with their own ports, which says nothing new
        ends: list[_Port] = []
        for name, identity in given.items():
            port = self.ports.get(identity) if isinstance(identity, str) else None
            if port is None:
                self._wrong(join_path(path, name), f"{show(identity)} is not the id of a port of this file")
            else:
                ends.append(port)
        if len(ends) < 2:
            return None
        first, second = ends
        if (first.direction, second.direction) != ("output", "input"):
            message = f"joins an {first.direction} to an {second.direction}"
            self._wrong(path, message, "an edge leads from an output to an input")
            return None
        return {"from": f"{first.operator.key}.{first.name}", "to": f"{second.operator.key}.{second.name}"}

    def _distinct(self, edges: list[dict[str, str]]) -> list[dict[str, str]]:
        kept: list[dict[str, str]] = []
        for edge in edges:
            if edge in kept:
                self.notes.append(f"the edge {edge['from']} -> {edge['to']} was there twice; one is kept")
            else:
                kept.append(edge)
        return kept


def image_name(image: object) -> str:
    """The last part of an image's path, without tag and digest: an operator's name. Empty where there is none."""
    if not isinstance(image, str):
        return ""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _typed(given: object, type_: object) -> Any:
    """The value as its type in their file says, where it fits; else as it is."""
    converters = {"int": to_int, "float": to_float, "bool": to_bool}
    convert = converters.get(type_) if isinstance(type_, str) else None
    try:
        return convert(given) if convert else given
    except MisfitError:
        return given


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63]


def _free_key(name: str, taken: set[str]) -> str:
    """The first of name, name-2, name-3 … that is not taken, as a pipeline's key has to look."""
    base = _slug(name) or "operator"
    key, count = base, 1
    while key in taken or not re.fullmatch(KEY_PATTERN, key):
        count += 1
        suffix = f"-{count}"
        key = base[: 63 - len(suffix)] + suffix
    return key


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True

"""Operators in words and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interactem.cli.failures import InvalidError, counted
from interactem.cli.lookups import shown
from interactem.cli.output import print_json, print_table, say
from interactem.engine.catalog import Catalog, CatalogOperator
from interactem.spec import OperatorSpecParameter, OperatorSpecPort
from interactem.spec.parameters import describe_default


def ports(of: Sequence[OperatorSpecPort]) -> str:
    return ", ".join(f"{port.name}:{port.type}" for port in of) or "-"


def to_value(operator: CatalogOperator) -> dict[str, Any]:
    """Name and folder, and the spec with everything in it."""
    about = {"name": operator.folder.resolve().name, "folder": str(shown(operator.folder))}
    return {**about, **operator.spec.model_dump(mode="json", exclude={"schema_uri"})}


def print_catalog(catalog: Catalog, *, as_json: bool) -> None:
    """The operators, also where others are broken. Raises `InvalidError` then."""
    found = list(catalog.operators.values())
    problems = catalog.problems()
    if not as_json:
        rows = [(o.name, ports(o.spec.inputs), ports(o.spec.outputs), o.spec.label, shown(o.folder)) for o in found]
        print_table(("name", "inputs", "outputs", "label", "folder"), rows)
        if not rows and not problems:
            say("There are no operators below operators/. Make one: interactem operator new", stderr=True)
    values = [to_value(operator) for operator in found]
    if problems:
        raise InvalidError(counted(problems), problems, details={"operators": values})
    if as_json:
        print_json(values)


def print_operator(operator: CatalogOperator) -> None:
    spec = operator.spec
    say(f"{operator.folder.resolve().name}: {spec.label}", "bold")
    if spec.description:
        say(spec.description)
    say("")
    print_table(("", ""), _facts(operator), titles=False)
    for title, rows in (("inputs", spec.inputs), ("outputs", spec.outputs), ("side inputs", spec.side_inputs)):
        if rows:
            say(f"\n{title}", "bold")
            print_table(("name", "type", "description"), [(p.name, p.type, p.description or p.label) for p in rows])
    if spec.parameters:
        say("\nparameters", "bold")
        print_table(("name", "type", "default", "description"), [_parameter(p) for p in spec.parameters])
    if spec.triggers:
        say("\ntriggers", "bold")
        print_table(("name", "mode", "description"), [(t.name, t.mode, t.description) for t in spec.triggers])


def _facts(operator: CatalogOperator) -> list[tuple[str, str]]:
    spec = operator.spec
    facts = [
        ("id", str(spec.id)),
        ("image", spec.image),
        ("folder", str(shown(operator.folder))),
        ("replicas", "any number" if spec.embarrassing else "1"),
    ]
    if spec.side_input is not None:
        facts.append(("side input", f"{spec.side_input.type}, every {spec.side_input.every:g} s"))
    if spec.tags:
        facts.append(("tags", ", ".join(tag.value for tag in spec.tags)))
    if spec.timeout is not None:
        facts.append(("timeout", f"{spec.timeout:g} s"))
    if spec.max_attempts is not None:
        facts.append(("attempts", str(spec.max_attempts or "unlimited")))
    return facts


def _parameter(parameter: OperatorSpecParameter) -> tuple[str, str, str, str]:
    kind = f"{parameter.type} ({'|'.join(parameter.options)})" if parameter.type == "str-enum" else parameter.type
    default = describe_default(parameter) or ("required" if parameter.required else "-")
    return parameter.name, kind, default, parameter.description or parameter.label

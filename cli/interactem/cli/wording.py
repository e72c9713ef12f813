"""Operators in words and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from interactem.cli.output import print_table, say
from interactem.spec import OperatorSpec, OperatorSpecParameter, OperatorSpecPort
from interactem.spec.parameters import describe_default


def ports(of: Sequence[OperatorSpecPort]) -> str:
    return ", ".join(f"{port.name}:{port.type}" for port in of) or "-"


def print_operator(name: str, folder: Path, spec: OperatorSpec) -> None:
    say(f"{name}: {spec.label}", "bold")
    if spec.description:
        say(spec.description)
    say("")
    print_table(("", ""), _facts(folder, spec), titles=False)
    for title, rows in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        if rows:
            say(f"\n{title}", "bold")
            print_table(("name", "type", "description"), [(p.name, p.type, p.description or p.label) for p in rows])
    if spec.parameters:
        say("\nparameters", "bold")
        print_table(("name", "type", "default", "description"), [_parameter(p) for p in spec.parameters])
    if spec.triggers:
        say("\ntriggers", "bold")
        print_table(("name", "mode", "description"), [(t.name, t.mode, t.description) for t in spec.triggers])


def _facts(folder: Path, spec: OperatorSpec) -> list[tuple[str, str]]:
    facts = [
        ("id", str(spec.id)),
        ("image", spec.image),
        ("folder", str(folder)),
        ("replicas", "any number" if spec.embarrassing else "1"),
    ]
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

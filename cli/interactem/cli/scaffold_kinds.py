"""The kinds of new operators: the ports that each has, and the case that what it begins with passes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from interactem.cli.failures import InvalidError

Kind = Literal["map", "stream", "batch", "staged", "reduce", "source", "sink", "side-input", "class", "command"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Ports = Literal["source", "map", "sink", "none"]
"""What an operator is by its ports alone."""

ABOUT: dict[Kind, str] = {
    "map": "a function of one message",
    "stream": "a function that yields messages, each sent at once",
    "batch": "a function of several messages, with a result for each",
    "staged": "three functions that work on different messages at once",
    "reduce": "a function of all messages of one key and window of time",
    "source": "a function that reads from where it was; no inputs",
    "sink": "a function that says what became of each message; outputs are fallbacks",
    "side-input": "a function on a schedule, whose latest value others look at; no ports",
    "class": "a class with start, stop and cleanup",
    "command": "an executable",
}
COMMANDS: dict[Ports, dict[str, Any]] = {
    "source": {"arguments": ["echo", "message"]},
    "map": {"arguments": ["cat"]},
    "sink": {"arguments": ["tee", "data"], "output": "files:data"},
}
"""What a new command does, by what its ports make it."""

_FREE = ("class", "command")
"""Kinds whose ports say what they are."""
_IN, _OUT = ("in:any",), ("out:any",)
_WINDOW = 60


def ports_of(
    kind: Kind | None, inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The inputs and outputs of a new operator, where some may not be given. Raises `InvalidError` for unfit ones."""
    if kind is None or kind in _FREE:
        some = inputs is not None or outputs is not None
        return tuple(inputs or (() if some else _IN)), tuple(outputs or (() if some else _OUT))
    if kind == "side-input":
        _refuse(kind, "ports", [*(inputs or ()), *(outputs or ())])
        return (), ()
    if kind == "source":
        _refuse(kind, "inputs", inputs)
        return (), tuple(outputs or _OUT)
    if kind == "sink":
        return tuple(inputs or _IN), tuple(outputs or ())
    return tuple(inputs or _IN), tuple(outputs or _OUT)


def _refuse(kind: Kind, what: str, given: Sequence[str] | None) -> None:
    if given:
        raise InvalidError(f"a {kind} has no {what}: leave out {given[0]!r}, or choose another --kind")


def kind_of(ports: Ports) -> Kind:
    """The kind of an operator of which nothing but its ports is said."""
    return "side-input" if ports == "none" else ports


def exchange(kind: str, ports: Ports, port: str | None) -> dict[str, Any]:
    """What a case gives to a new operator, and what it expects of it. `port` is an input of it."""
    if kind == "side-input":
        return {"inputs": [], "value": {"example": 1}}
    if ports == "source":
        texts = ["message\n"] if kind == "command" else [f"message {number}" for number in range(3)]
        return {"inputs": [], "expect": [{"data": text} for text in texts]}
    if kind == "reduce":
        given: list[dict[str, Any]]
        given = [{"port": port, "meta": {"name": "a", "time": time}, "data": ""} for time in (0, _WINDOW)]
        expect = [{"meta": {"name": "a", "start": start}, "data": "1"} for start in (0, _WINDOW)]
        return {"inputs": given, "finish": True, "expect": expect}
    meta = {"number": 1}
    given = [{"port": port, "meta": meta, "data": "hello"}]
    if ports == "map":
        return {"inputs": given, "expect": [{"meta": meta, "data": "hello"}]}
    return {"inputs": given, "expect": [], "outputs": {"data" if kind == "command" else "case.0": {"data": "hello"}}}

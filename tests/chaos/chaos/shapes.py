"""The pipelines that are disturbed, and what each should do with so many messages of each source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaos.checking import Counts, Lane, Letter, Outcome

Value = dict[str, Any]

SOURCES = ("numbers", "read-numbers")


@dataclass(frozen=True, slots=True)
class Shape:
    """`operators` and `expected` are of so many messages for each source; `deliveries` is how many of those come to
    sinks for each that a source sends. `share` is how many it sends beside other shapes: large messages are fewer.
    `options` are those of `pipeline run`; a `detached` one runs in the background.
    """

    name: str
    operators: Callable[[int], dict[str, Value]]
    edges: tuple[str | Value, ...]
    expected: Callable[[int], Outcome]
    deliveries: int = 1
    share: float = 1.0
    options: tuple[str, ...] = ()
    detached: bool = False

    def pipeline(self, count: int, rate: float) -> Value:
        """The pipeline, whose sources send `rate` messages a second altogether."""
        operators = self.operators(count)
        sources = [value for value in operators.values() if value["operator"] in SOURCES]
        for value in operators.values():
            if "count" not in value["parameters"] and value["operator"] in (*SOURCES, "tally", "window", "record"):
                value["parameters"]["count"] = count
        for value in sources:
            value["parameters"] |= {"rate": rate / len(sources), "held": max(1, count // 20)}
        edges = [edge if isinstance(edge, dict) else _edge(edge) for edge in self.edges]
        return {"name": self.name, "operators": operators, "edges": edges}


def _edge(ports: str, **said: Any) -> Value:
    return {**dict(zip(("from", "to"), ports.split(" -> "), strict=True)), **said}


def _op(name: str, replicas: int = 1, *, max_attempts: int | None = None, **parameters: Any) -> Value:
    more = {} if max_attempts is None else {"max_attempts": max_attempts}
    return {"operator": name, "replicas": replicas, "parameters": parameters, **more}


def _ones(count: int, without: Iterable[int] = ()) -> Counts:
    counts = np.ones(count, np.uint8)
    counts[list(without)] = 0
    return counts


def _each(count: int, *lanes: Lane) -> Outcome:
    return Outcome({lane: _ones(count) for lane in lanes})


# failing kernels: one message in so many never works, and others do not at their first attempt


def _rare(count: int) -> int:
    """Every so many-th message fails for good."""
    return max(10, count // 40)


def _often(count: int) -> int:
    """Every so many-th message fails once."""
    return max(7, count // 100)


def _failing(count: int, mode: str = "raise", passing: str = "pass-on") -> dict[str, Value]:
    return {
        "numbers": _op("numbers"),
        "pass": _op(passing, 2, mode=mode, always=_rare(count), once=_often(count)),
        "record": _op("record", once=_often(count) + 1),
    }


def _crashing(count: int, passing: str = "pass-on") -> dict[str, Value]:
    operators = _failing(count, "exit", passing)
    # each death of a process costs a tenth of a second
    operators["pass"]["parameters"] |= {"always": max(10, count // 5), "once": max(7, count // 12)}
    return operators


def _without_dead(
    operators: Callable[[int], Mapping[str, Value]], failing: str, *more: str
) -> Callable[[int], Outcome]:
    """What comes of a chain in which some messages die at one operator. `more` are lanes that count anew."""

    def expected(count: int) -> Outcome:
        dead = range(0, count, operators(count)[failing]["parameters"]["always"])
        lanes: dict[Lane, Counts] = {("record", "numbers"): _ones(count, dead)}
        lanes |= {("record", lane): _ones(count, range(count - len(dead), count)) for lane in more}
        gone: dict[Letter, int] = {(failing, "numbers", number): 1 for number in dead}
        return Outcome(lanes, gone)

    return expected


def _batches(count: int) -> dict[str, Value]:
    return _failing(count, passing="pass-on-batches")


def _threads(count: int) -> dict[str, Value]:
    return _crashing(count, "pass-on-threads")


def _coroutines(count: int) -> dict[str, Value]:
    return _crashing(count, "pass-on-coroutines")


def _commands(count: int) -> dict[str, Value]:
    return _crashing(count, "pass-on-command")


def _stages(count: int) -> dict[str, Value]:
    return _failing(count, passing="pass-on-stages")


def _processes(count: int) -> dict[str, Value]:
    return _crashing(count, "pass-on-processes")


def _stateful(count: int) -> dict[str, Value]:
    return {
        "numbers": _op("numbers"),
        "pass": _op("pass-on", 2),
        "serial": _op("serial", always=_rare(count), once=_often(count)),
        "record": _op("record"),
    }


def _keyed(count: int) -> Outcome:
    """Each group is numbered without a gap, although several replicas share the groups, and edges choose by tags."""
    numbers = range(count)
    lanes: dict[Lane, Counts] = {
        ("record", "numbers"): _ones(count),
        ("record", "serial"): _ones(count),
        ("evens", "numbers"): _ones(count, range(1, count, 2)),
        ("rest", "numbers"): _ones(count, [n for n in numbers if n % 2 == 0 or n % 3 == 0]),
    }
    return Outcome(lanes)


_REST = 5
"""Every so many-th message goes to a fallback."""


def _handing_on(count: int) -> dict[str, Value]:
    return {
        "numbers": _op("read-numbers"),
        "sort": _op("record", 2, rest=_REST, once=_often(count)),
        "record": _op("record"),
    }


def _large(name: str, *options: str) -> Shape:
    """Messages up to some over the broker's limit, by two ways to a sink of two replicas."""
    return Shape(
        name,
        lambda count: {
            "numbers": _op("numbers", large=True),
            "pass": _op("pass-on", 2),
            "record": _op("record", 2),
        },
        (*_CHAIN, "numbers.out -> record.in"),
        lambda count: Outcome({("record", "numbers"): 2 * _ones(count)}),
        deliveries=2,
        share=0.01,
        options=options,
    )


_CHAIN = ("numbers.out -> pass.in", "pass.out -> record.in")

SHAPES = (
    Shape(
        "chain",
        lambda count: {
            "numbers": _op("numbers"),
            "first": _op("pass-on"),
            "second": _op("pass-on"),
            "record": _op("record"),
        },
        ("numbers.out -> first.in", "first.out -> second.in", "second.out -> record.in"),
        lambda count: _each(count, ("record", "numbers")),
    ),
    Shape(
        "fan-out",
        lambda count: {
            "numbers": _op("numbers"),
            "pass": _op("pass-on"),
            **{name: _op("record") for name in ("near", "far", "other")},
        },
        ("numbers.out -> near.in", "numbers.out -> pass.in", "pass.out -> far.in", "pass.out -> other.in"),
        lambda count: _each(count, ("near", "numbers"), ("far", "numbers"), ("other", "numbers")),
        deliveries=3,
    ),
    Shape(
        "fan-in",
        lambda count: {
            **{name: _op("numbers") for name in ("one", "two", "three")},
            "pass": _op("pass-on"),
            "record": _op("record"),
        },
        ("one.out -> pass.in", "two.out -> pass.in", "three.out -> pass.in", "pass.out -> record.in"),
        lambda count: _each(count, ("record", "one"), ("record", "two"), ("record", "three")),
        deliveries=3,
    ),
    Shape(
        "two-edges",  # into one operator: two ways through a diamond, and two ports
        lambda count: {
            "numbers": _op("numbers"),
            "pass": _op("pass-on", 2),
            "merge": _op("merge"),
            "record": _op("record"),
        },
        (
            "numbers.out -> pass.in",
            "numbers.out -> merge.left",
            "pass.out -> merge.right",
            "merge.out -> record.in",
            "numbers.out -> record.in",
        ),
        lambda count: _each(count, ("record", "numbers"), ("record", "numbers/left"), ("record", "numbers/right")),
        deliveries=3,
    ),
    Shape(
        "stateful",
        _stateful,
        ("numbers.out -> pass.in", "pass.out -> serial.in", "serial.out -> record.in"),
        _without_dead(_stateful, "serial", "serial"),
        deliveries=2,
    ),
    Shape(
        "detached",
        _stateful,
        ("numbers.out -> pass.in", "pass.out -> serial.in", "serial.out -> record.in"),
        _without_dead(_stateful, "serial", "serial"),
        deliveries=2,
        detached=True,
    ),
    Shape(
        "reduce",
        lambda count: {
            "numbers": _op("numbers"),
            "pass": _op("pass-on", 2),
            "tally": _op("tally"),
            "record": _op("record"),
        },
        ("numbers.out -> pass.in", "pass.out -> tally.in", "tally.out -> record.in"),
        lambda count: _each(count, ("record", "numbers/total")),
    ),
    Shape(
        "windows",
        lambda count: {
            "numbers": _op("numbers"),
            "pass": _op("pass-on", 2),
            "window": _op("window"),
            "record": _op("record"),
        },
        ("numbers.out -> pass.in", "pass.out -> window.in", "window.out -> record.in"),
        lambda count: _each(count, ("record", "numbers/windows")),
        share=0.5,
    ),
    Shape(
        "replicas",
        lambda count: {
            "numbers": _op("numbers"),
            "pass": _op("pass-on", 3),
            "record": _op("record", 2),
        },
        _CHAIN,
        lambda count: _each(count, ("record", "numbers")),
    ),
    Shape(
        "keyed",
        lambda count: {
            "numbers": _op("numbers"),
            "label": _op("label", 2),
            "turn": _op("turn", 3, once=_often(count)),
            "record": _op("record", 2),
            "evens": _op("record", 2),
            "rest": _op("record"),
        },
        (
            "numbers.out -> label.in",
            _edge("label.out -> turn.in", key="meta.group"),
            _edge("turn.out -> record.in", key="meta.number"),
            _edge("label.out -> evens.in", when={"tags": {"any": ["even"]}}),
            _edge("label.out -> rest.in", when={"tags": {"none": ["even", "third"]}}),
        ),
        _keyed,
        deliveries=2,
    ),
    Shape(
        "ordered",  # with exactly once, each number's turn in its group tells whether the group was in order
        lambda count: {
            "numbers": _op("numbers"),
            "label": _op("label", once=_often(count) + 2),
            "turn": _op("turn", 3, once=_often(count)),
            "record": _op("record", 2, in_order=True),
        },
        (
            _edge("numbers.out -> label.in", ordered=True),
            _edge("label.out -> turn.in", key="meta.group", ordered=True),
            _edge("turn.out -> record.in", key="meta.group", ordered=True),
        ),
        lambda count: _each(count, ("record", "numbers"), ("record", "serial")),
    ),
    Shape("failing", _failing, _CHAIN, _without_dead(_failing, "pass")),
    Shape("crashing", _crashing, _CHAIN, _without_dead(_crashing, "pass"), share=0.2),
    Shape(
        "fallback",  # what a source that reads has acknowledged is gone, and a sink hands on a fifth
        _handing_on,
        ("numbers.out -> sort.in", "sort.rest -> record.in"),
        lambda count: Outcome(
            {
                ("sort", "numbers"): _ones(count, range(0, count, _REST)),
                ("record", "numbers"): _ones(count, [n for n in range(count) if n % _REST]),
            }
        ),
    ),
    Shape("batches", _batches, _CHAIN, _without_dead(_batches, "pass")),
    Shape("threads", _threads, _CHAIN, _without_dead(_threads, "pass"), share=0.2),
    Shape("coroutines", _coroutines, _CHAIN, _without_dead(_coroutines, "pass"), share=0.2),
    Shape("commands", _commands, _CHAIN, _without_dead(_commands, "pass"), share=0.2),
    Shape(
        "streams",
        lambda count: {
            "numbers": _op("numbers"),
            "spread": _op("spread", 2, once=_often(count)),
            "record": _op("record"),
        },
        ("numbers.out -> spread.in", "spread.out -> record.in"),
        lambda count: _each(count, *(("record", f"numbers/{copy}") for copy in range(3))),
        deliveries=3,
    ),
    Shape("stages", _stages, _CHAIN, _without_dead(_stages, "pass"), share=0.2),
    Shape("processes", _processes, _CHAIN, _without_dead(_processes, "pass"), share=0.2),
    Shape(
        "side-input",  # and a source whose transform leaves messages out
        lambda count: {
            "numbers": _op("numbers", left_out=11),
            "word": _op("word"),
            "pass": {**_op("pass-on-with-word", 2), "side_inputs": {"word": "word"}},
            "record": _op("record"),
        },
        _CHAIN,
        lambda count: _each(count, ("record", "numbers")),
    ),
    _large("large"),  # in shared memory
    _large("large-no-shm", "--no-shm"),  # through the broker, in chunks where they are over its limit
)


def named(name: str) -> Shape:
    """Raises `KeyError`."""
    return {shape.name: shape for shape in SHAPES}[name]

"""How far a run has come, in a table and in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interactem.cli.output import table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from interactem.engine.progress import OperatorProgress

ALWAYS = ("replicas", "received", "sent", "rate", "waiting", "p50", "p99", "memory")
TROUBLE = ("unwanted", "late", "retried", "dead", "restarts")
"""What is shown where there is any."""
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def progress_table(state: str, rows: list[OperatorProgress]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    trouble = [name for name in TROUBLE if any(getattr(row, name) for row in rows)]
    columns = ("operator", *ALWAYS, *trouble)
    cells = [(*_cells(row), *(f"{getattr(row, name):,}" for name in trouble)) for row in rows]
    return Group(table(columns, cells, right=columns[1:]), Text(state, "bold"))


def _cells(row: OperatorProgress) -> tuple[str, ...]:
    replicas = f"{row.running}/{row.replicas}" if row.state != "stopped" else "done"
    counts = (f"{row.received:,}", f"{row.sent:,}", f"{row.rate:,.0f}/s", f"{row.waiting:,}")
    return (row.name, replicas, *counts, seconds(row.p50), seconds(row.p99), size(row.memory))


def plain_lines(state: str, rows: list[OperatorProgress]) -> list[str]:
    return [
        f"{state} {row.name}: {row.running}/{row.replicas} replicas, received {row.received}, sent {row.sent}, "
        f"{row.rate:.0f}/s, waiting {row.waiting}, retried {row.retried}, dead {row.dead}{_measured(row)}"
        for row in rows
    ]


def _measured(row: OperatorProgress) -> str:
    found = (("p50", seconds(row.p50)), ("p99", seconds(row.p99)), ("memory", size(row.memory)))
    return "".join(f", {name} {text}" for name, text in found if text)


def seconds(value: float | None) -> str:
    """Such as `12 ms`; empty where it is not known."""
    return "" if value is None else _scaled(value, _SECONDS)


def size(value: int | None) -> str:
    """Such as `48 MB`; empty where it is not known."""
    return "" if value is None else _scaled(value, _BYTES)


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    scale, unit = next((pair for pair in units if value >= pair[0]), units[-1])
    number = value / scale
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"

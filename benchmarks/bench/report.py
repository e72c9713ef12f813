"""Results as a table for people, and as values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from bench.measurements import QUIET, Result, Row, Spread


def to_value(result: Result, machine: Mapping[str, Any]) -> dict[str, Any]:
    """A result as it stands in `results.json`. `spread` is that of the ratio, of our figure where there is none."""
    row, ratio, reference = result.row, result.ratio, result.reference
    spread = ratio or result.ours
    return {
        "row": row.name,
        "unit": row.unit,
        "ours": result.ours.median,
        "reference": reference.median if reference else None,
        "ratio": ratio.median if ratio else None,
        "at_least": row.at_least,
        "ours_at_least": row.ours_at_least,
        "reached": result.reached,
        "spread": [spread.low, spread.high],
        "repetitions": len(result.pairs),
        "details": result.details(),
        "reference_details": result.reference_details(),
        "others_cores": result.others,
        "load_before": result.load,
        "machine": dict(machine),
    }


def to_table(results: Sequence[Result]) -> Table:
    table = Table(title="benchmarks", title_justify="left")
    table.add_column("row")
    for heading in ("ours", "reference", "ratio", "spread", "asked"):
        table.add_column(heading, justify="right")
    table.add_column("reached")
    table.add_column("others", justify="right")
    for result in results:
        table.add_row(*_cells(result))
    return table


def _cells(result: Result) -> tuple[str, ...]:
    row, ratio, reference = result.row, result.ratio, result.reference
    others = f"{result.others:.2f}" + ("" if result.others <= QUIET else " !")
    return (
        row.name,
        f"{figure(result.ours.median)} {row.unit}",
        figure(reference.median) if reference else "-",
        f"{figure(ratio.median)} x" if ratio else "-",
        _range(ratio or result.ours),
        asked(row),
        {True: "yes", False: "NO", None: "-"}[result.reached],
        others,
    )


def asked(row: Row) -> str:
    """What a row asks for, in few words."""
    bounds = []
    if row.at_least is not None:
        bounds.append(f"{figure(row.at_least)} x")
    if row.ours_at_least is not None:
        bounds.append(f"{figure(row.ours_at_least)} {row.unit}")
    return " and ".join(bounds) or "-"


def notes(results: Sequence[Result]) -> list[str]:
    """What the rows are, and what was measured beside their figures."""
    lines: list[str] = []
    for result in results:
        row = result.row
        lines.append(f"{row.name}: {row.about}" + (f"; reference: {row.reference_about}" if row.reference else ""))
        if details := result.details():
            lines.append(f"  ours: {_told(details)}")
        if details := result.reference_details():
            lines.append(f"  reference: {_told(details)}")
    lines.append(f"others: cores that other programs used meanwhile; ! where that was over {QUIET:g}")
    return lines


def figure(value: float) -> str:
    """A number with the digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _range(spread: Spread) -> str:
    return f"{figure(spread.low)} to {figure(spread.high)}"


def _told(details: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figure(value)}" for name, value in details.items())

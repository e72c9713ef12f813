"""Results as a table for people, and as values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from bench.measurements import QUIET, Result, Spread


def to_value(result: Result, machine: Mapping[str, Any]) -> dict[str, Any]:
    """A result as it stands in `results.json`. `spread` is that of the ratio, of our figure where there is none."""
    row, ratio, reference = result.row, result.ratio, result.reference
    spread = ratio or result.ours
    return {
        "row": result.name,
        "unit": row.unit,
        "ours": result.ours.median,
        "reference": reference.median if reference else None,
        "ratio": ratio.median if ratio else None,
        "at_least": result.at_least,
        "ours_at_least": row.ours_at_least,
        "reached": result.reached,
        "spread": [spread.low, spread.high],
        "repetitions": len(result.rounds),
        "details": result.details(),
        "reference_details": result.reference_details(),
        "others_cores": result.others,
        "load_before": result.load,
        "machine": dict(machine),
    }


HEADINGS = ("row", "ours", "reference", "ratio", "spread", "asked", "reached", "others")


def to_table(results: Sequence[Result]) -> Table:
    table = Table(title="benchmarks", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("row", "reached") else "right")
    for result in results:
        table.add_row(*_cells(result))
    return table


def to_markdown(results: Sequence[Result], machine: Mapping[str, Any]) -> str:
    """The table for a page, with the machine that it comes from below."""
    lines = ["| " + " | ".join(HEADINGS[:-1]) + " |", "|---|" + "---|" * (len(HEADINGS) - 2)]
    for result in results:
        name, *cells = _cells(result)[:-1]
        mark = " (!)" if result.others > QUIET else ""
        lines.append("| " + " | ".join([f"`{name}`{mark}", *cells]) + " |")
    if any(result.others > QUIET for result in results):
        lines += ["", "(!): other programs used the machine meanwhile."]
    told = "{processor}, {cores} cores, {memory_gb} GB, {system}, Python {python}, nats-server {nats_server}".format(
        **machine
    )
    return "\n".join([*lines, "", f"Machine: {told}, nats-py {machine['nats_py']}.", ""])


def _cells(result: Result) -> tuple[str, ...]:
    ratio, reference = result.ratio, result.reference
    others = f"{result.others:.2f}" + ("" if result.others <= QUIET else " !")
    return (
        result.name,
        f"{figure(result.ours.median)} {result.row.unit}",
        figure(reference.median) if reference else "-",
        f"{figure(ratio.median)} x" if ratio else "-",
        _range(ratio or result.ours),
        asked(result),
        {True: "yes", False: "NO", None: "-"}[result.reached],
        others,
    )


def asked(result: Result) -> str:
    """What is asked, in few words."""
    bounds = []
    if result.at_least is not None:
        bounds.append(f"{figure(result.at_least)} x")
    if result.row.ours_at_least is not None:
        bounds.append(f"{figure(result.row.ours_at_least)} {result.row.unit}")
    return " and ".join(bounds) or "-"


def notes(results: Sequence[Result]) -> list[str]:
    """What the rows are, and what was measured beside their figures."""
    lines: list[str] = []
    told: set[str] = set()
    for result in results:
        row = result.row
        if row.name not in told:
            told.add(row.name)
            lines.append(f"{row.name}: {row.about}")
            if details := result.details():
                lines.append(f"  ours: {_told(details)}")
        if result.against:
            details = result.reference_details()
            lines.append(f"  {result.name}: {result.against.about}" + (f": {_told(details)}" if details else ""))
    lines.append(f"others: cores that other programs used meanwhile; ! where that was over {QUIET:g}")
    return lines


def figure(value: float) -> str:
    """A number with the digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _range(spread: Spread) -> str:
    return f"{figure(spread.low)} to {figure(spread.high)}"


def _told(details: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figure(value)}" for name, value in details.items())

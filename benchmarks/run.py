"""Measures, each figure beside its reference, and prints one table.

    python benchmarks/run.py [--row NAME]... [--repeat N] [--short] [--json] [--out FILE]

How it is measured, and what bounds the figures: docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, report
from bench.measurements import Result, Row
from bench.measuring import measure
from bench.programs import ProgramError
from bench.rows import ROWS
from bench.workspace import BENCHMARKS, INTERACTEM, ROOT, workspace
from rich.console import Console

REPEAT = 5


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description="measure, each figure beside its reference")
    names = [row.name for row in ROWS]
    parser.add_argument("--row", action="append", choices=names, help="only this row; may be given again")
    parser.add_argument("--repeat", type=_positive, default=REPEAT, help=f"repetitions of a row (default {REPEAT})")
    parser.add_argument("--short", action="store_true", help="tiny counts: does it work, not how fast is it")
    parser.add_argument("--json", action="store_true", help="print the results as JSON in place of the table")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "results.json", help="where the results go")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs", help="where runs take place: on the disk to test")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every row could be measured, whatever its figure."""
    options = parse(arguments)
    progress = Console(stderr=True, highlight=False)
    if not INTERACTEM.is_file():
        progress.out(f"there is no command {INTERACTEM}: install interactem into this Python, or use: make bench")
        return 2
    rows = [row for row in ROWS if options.row is None or row.name in options.row]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way, what runs is ended and cleaned up
    try:
        results, failed = _measure_all(rows, options, progress)
    except KeyboardInterrupt:
        progress.out("interrupted")
        return 130
    values = [report.to_value(result, machine.description()) for result in results]
    options.out.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
    else:
        _show(results)
    for name in failed:
        progress.print(f"{name} could not be measured", style="red")
    return 1 if failed else 0


def _measure_all(rows: Sequence[Row], options: Any, progress: Console) -> tuple[list[Result], list[str]]:
    results: list[Result] = []
    failed: list[str] = []
    with workspace(options.folder, short=options.short) as place:
        for row in rows:
            try:
                results.append(measure(row, place, repeat=options.repeat, tell=progress.out))
            except (ProgramError, ValueError) as error:
                progress.out(f"{row.name}: {error}")
                failed.append(row.name)
    return results, failed


def _show(results: Sequence[Result]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    console.print(report.to_table(results))
    for line in report.notes(results):
        console.out(line)


if __name__ == "__main__":
    raise SystemExit(main())

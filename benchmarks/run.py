"""Measures, each figure beside its reference, and prints one table.

    python benchmarks/run.py [--row NAME]... [--repeat N] [--short] [--json | --markdown] [--out FILE]

How it is measured, and what bounds the figures: docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench import machine, report
from bench.measurements import Result, Row
from bench.measuring import measure
from bench.programs import ProgramError
from bench.rows import ROWS
from bench.workspace import BENCHMARKS, ELSEWHERE, INTERACTEM, ROOT, workspace
from rich.console import Console

REPEAT = 5


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description="measure, each figure beside its reference")
    names = [row.name for row in ROWS]
    parser.add_argument("--row", action="append", choices=names, help="only this row; may be given again")
    parser.add_argument("--repeat", type=_positive, default=REPEAT, help=f"repetitions of a row (default {REPEAT})")
    parser.add_argument("--short", action="store_true", help="tiny counts: does it work, not how fast is it")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the results as JSON in place of the table")
    form.add_argument("--markdown", action="store_true", help="print the table as Markdown")
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
    about = machine.description()
    values = [report.to_value(result, about) for result in results]
    options.out.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
    elif options.markdown:
        sys.stdout.write(report.to_markdown(results, about))
    else:
        _show(results)
    for name, reason in failed.items():
        progress.out(f"{name} could not be measured: {reason}", style="red")
    return 1 if failed else 0


def _measure_all(rows: Sequence[Row], options: Any, progress: Console) -> tuple[list[Result], dict[str, str]]:
    results: list[Result] = []
    failed: dict[str, str] = {}
    progress.out(f"preparing the references' environment in {ELSEWHERE.folder.name}")
    with suppress(ProgramError):  # those that need it say so, each in its row
        ELSEWHERE.python()
    with workspace(options.folder, short=options.short) as place:
        for row in rows:
            try:
                measured = measure(row, place, repeat=options.repeat, tell=progress.out)
            except (ProgramError, ValueError) as error:
                failed[row.name] = str(error)
                progress.out(f"{row.name}: {error}")
            else:
                results += measured.results
                failed |= measured.missing
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

"""How results look: JSON documents, and text and tables for people.

rich decides about colours: none off a terminal, and none where NO_COLOR is set.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from interactem.cli.failures import Failure

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]

UNBOUNDED = 10_000
"""Columns where nobody looks at it: lines in a pipe are not wrapped or cut."""


def print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def write_result(text: str, file: Path | None) -> None:
    """A result that people may want in a file of their own."""
    text = text if text.endswith("\n") else f"{text}\n"
    if file is None:
        sys.stdout.write(text)
    else:
        file.write_text(text, encoding="utf-8")


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNBOUNDED
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def say(text: str, style: str | None = None, *, stderr: bool = False) -> None:
    """Print text as it is: brackets in it mean nothing, and lines are not broken."""
    console(stderr=stderr).print(text, style=style, soft_wrap=True)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = (), titles: bool = True
) -> RenderableType:
    """Columns under their titles; those in `right` are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold", show_header=titles, padding=(0, 2, 0, 0))
    for title in columns:
        made.add_column(title, justify="right" if title in right else "left")
    for row in rows:
        made.add_row(*[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row])
    return made


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = (), titles: bool = True
) -> None:
    made = table(columns, rows, right=right, titles=titles)
    target = console()
    if target.is_terminal:
        target.print(made)
        return
    with target.capture() as captured:
        target.print(made)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def print_failure(failure: Failure, *, as_json: bool) -> None:
    """In JSON `{"error": …, "problems": […]}` on standard output, else text on standard error."""
    if as_json:
        print_json({"error": failure.message, "problems": list(failure.problems), **failure.details})
        return
    from rich.text import Text

    target = console(stderr=True)
    target.print(Text("error: ", style="bold red") + Text(failure.message), soft_wrap=True)
    for problem in failure.problems:
        target.print(Text("  " + problem.replace("\n", "\n  ")), soft_wrap=True)

"""What the shell offers for an argument: names of operators, ids of runs.

Completion must be quick and must never fail, so it looks at names only and reads no file's contents.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import typer


def operator_names(context: typer.Context, incomplete: str) -> list[str]:
    """The operators below `--directory` whose names begin so."""
    directory = Path(context.params.get("directory") or "operators")
    return sorted({folder.name for folder in _operators(directory) if folder.name.startswith(incomplete)})


def operators_and_paths(context: typer.Context, incomplete: str) -> list[str]:
    """Operators by name, and the folders below the one that is being typed."""
    typed = Path(incomplete)
    parent = typed if incomplete.endswith("/") else typed.parent
    try:
        folders = sorted(f"{path}/" for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        folders = []
    return [*operator_names(context, incomplete), *(path for path in folders if path.startswith(incomplete))]


def _operators(directory: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(directory):
        if "operator.json" in files:
            yield Path(folder)

"""What the shell offers for an argument: names of operators, ids of runs.

Completion must never fail, so it reads as little as it can and passes over what it cannot read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interactem.engine.index import RunRecord


def operator_names(incomplete: str) -> list[str]:
    """The operators of the project whose names begin so."""
    from interactem.engine.catalog import OPERATORS, SPEC_FILE, find_root

    top = find_root(Path.cwd()) / OPERATORS
    names = {Path(folder).name for folder, _, files in os.walk(top) if SPEC_FILE in files}
    return sorted(name for name in names if name.startswith(incomplete))


def operators_and_paths(incomplete: str) -> list[str]:
    """Operators by name, and the folders below the one that is being typed."""
    parent = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    try:
        folders = sorted(f"{path}/" for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        folders = []
    return [*operator_names(incomplete), *(path for path in folders if path.startswith(incomplete))]


def run_ids(incomplete: str) -> list[tuple[str, str]]:
    """The runs whose ids begin so, the newest first, with their pipeline and state."""
    from interactem.engine.index import RunIndex

    return _ids(RunIndex().runs(), incomplete)


def working_run_ids(incomplete: str) -> list[tuple[str, str]]:
    """Those of them that are at work now."""
    from interactem.engine.index import RunIndex

    return _ids([record for record in RunIndex().runs() if record.alive or record.unattended], incomplete)


def _ids(runs: list[RunRecord], incomplete: str) -> list[tuple[str, str]]:
    from interactem.engine.index import LAST

    found = [(record.run, f"{record.name}, {record.state}") for record in runs if record.run.startswith(incomplete)]
    return [*found, *([(LAST, "the newest")] if runs and LAST.startswith(incomplete) else [])]

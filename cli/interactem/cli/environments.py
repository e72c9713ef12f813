"""The interpreter that an operator's code runs in, made ready while the terminal says so."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from interactem.engine.environments import prepare


def operator_python(folder: Path) -> Path:
    """Python of the operator's own environment. Raises `DependencyError` where its requirements cannot be installed."""
    if not sys.stderr.isatty():
        return asyncio.run(prepare(folder)).python
    from interactem.cli.output import console

    name = folder.resolve().name
    with console(stderr=True).status(f"{name}: preparing its environment") as status:

        def tell(operator: str, text: str) -> None:
            status.update(f"{operator}: {text}")

        return asyncio.run(prepare(folder, progress=tell)).python

"""`interactem pipeline status`: how far a run is now, or how it has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from interactem.cli.following import state_of
from interactem.cli.output import console, print_json, say
from interactem.cli.progress import progress_table
from interactem.engine.index import RunRecord
from interactem.engine.results import collect
from interactem.engine.status import next_snapshot
from interactem.engine.summaries import row_of
from interactem.runtime.publishing import FOLDER


def status(record: RunRecord, *, as_json: bool) -> None:
    """What its supervisor says next; of one that has ended, its summary."""
    told = asyncio.run(next_snapshot(record)) if record.alive else _ended(record)
    published = published_in(record.folder)
    if as_json:
        print_json({**told, "published": published})
        return
    rows = [row_of(name, numbers) for name, numbers in told["operators"].items()]
    say(f"run {told['run']} of {told['name']}")
    if rows:
        console().print(progress_table(told["state"], rows))
    else:
        say(told["state"])
    for file in published:
        say(f"published: {file}")


def published_in(folder: Path) -> list[str]:
    """The images and tables that operators of a run have published, by their paths."""
    return sorted(str(path) for path in (folder / "outputs" / FOLDER).glob("*/[!.]*"))


def _ended(record: RunRecord) -> dict[str, Any]:
    """What is left of it; nothing is known of the numbers of one whose supervisor was killed."""
    result = collect(record.folder)
    if result is not None and not record.unattended:
        return result.to_value()
    return {"run": record.run, "name": record.name, "state": state_of(record), "operators": {}}

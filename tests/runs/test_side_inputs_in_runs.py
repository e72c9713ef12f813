"""Records, a table that changes while they come, a database and what it rejects: side inputs and fallbacks in a run."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing, suppress

import pytest

NAMES = ("line-reader", "lookup-table", "lookup", "record-save", "message-save")


def stored(run):
    """What the database holds: the site that was found, by the record's key."""
    file = run.folder / "outputs" / "records.sqlite"
    if not file.exists():
        return {}
    with closing(sqlite3.connect(file)) as database, suppress(sqlite3.OperationalError):
        rows = database.execute("SELECT key, record FROM records").fetchall()
        return {key: (json.loads(record)["found"] or {}).get("site") for key, record in rows}
    return {}


@pytest.mark.broker
def test_a_table_that_changes_counts_without_a_restart(project, root):
    for name in NAMES:
        shutil.copytree(root / "operators" / name, project.path / "operators" / name)
    shutil.copy(root / "pipelines" / "records.json", project.path)
    lines, table = project.path / "lines.jsonl", project.path / "table.csv"
    lines.write_text("".join(f'{{"id": {number}, "sample": "a"}}\n' for number in range(20)) + "?\n")
    table.write_text("id,site\na,north\n")
    settings = ["--set", f"lines.file={lines}", "--set", "lines.follow=true", "--set", f"table.file={table}"]
    run = project.start("records.json", *settings, "--set", "lookup.field=sample")
    run.wait_for(lambda run: len(stored(run)) == 20, "the first records")
    assert set(stored(run).values()) == {"north"}
    assert run.kill(run.replicas()["lines", 0])
    table.write_text("id,site\na,south\n")

    def is_south(run):
        with lines.open("a") as file:
            file.write('{"id": "next", "sample": "a"}\n')
        return stored(run).get("next") == "south"

    run.wait_for(is_south, "the new table")
    assert project.do("pipeline", "set", "last", "lines.follow=false").code == 0
    done = run.end()
    assert done.code == 0, done
    assert {key: site for key, site in stored(run).items() if key != "next"} == {str(n): "north" for n in range(20)}
    [rejected] = (run.folder / "outputs" / "rejected").iterdir()
    assert rejected.read_bytes() == b"?"
    starts = [event["operator"] for event in run.events("replica") if event["state"] == "starting"]
    assert (starts.count("lookup"), starts.count("table"), starts.count("lines")) == (2, 1, 2)

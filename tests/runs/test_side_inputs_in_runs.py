"""Records, a table that changes while they come, a database and what it rejects: side inputs and fallbacks in a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing, suppress

import pytest

from interactem.engine.index import RunIndex

WAIT = 90.0

NAMES = ("line-reader", "lookup-table", "lookup", "record-save", "message-save")


def wait_until(condition, what):
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.05)


def stored(run):
    """What the database holds: the site that was found, by the record's key."""
    file = run.folder / "outputs" / "records.sqlite"
    if not file.exists():
        return {}
    with closing(sqlite3.connect(file)) as database, suppress(sqlite3.OperationalError):
        rows = database.execute("SELECT key, record FROM records").fetchall()
        return {key: (json.loads(record)["found"] or {}).get("site") for key, record in rows}
    return {}


@pytest.fixture
def given(project, root):
    """The pipeline's files and its settings, in a project of its own."""
    for name in NAMES:
        shutil.copytree(root / "operators" / name, project.path / "operators" / name)
    shutil.copy(root / "pipelines" / "records.json", project.path)
    lines, table = project.path / "lines.jsonl", project.path / "table.csv"
    lines.write_text("".join(f'{{"id": {number}, "sample": "a"}}\n' for number in range(20)) + "?\n")
    table.write_text("id,site\na,north\n")
    chosen = (f"lines.file={lines}", "lines.follow=true", f"table.file={table}", "lookup.field=sample")
    return lines, table, [word for setting in chosen for word in ("--set", setting)]


@pytest.mark.broker
def test_a_table_that_changes_counts_without_a_restart(project, given):
    lines, table, settings = given
    run = project.start("records.json", *settings)
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


class Detached:
    """A run in the background, as the index shows it."""

    def __init__(self, folder):
        self.folder = folder

    def supervisor(self):
        return RunIndex().find(str(self.folder)).supervisor

    def kill_supervisor(self):
        supervisor = self.supervisor()
        os.kill(supervisor.pid, signal.SIGKILL)
        wait_until(lambda: not supervisor.alive, "the supervisor's end")

    def events(self, kind):
        events = [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]
        return [event for event in events if event["kind"] == kind]


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("killed", [False, True], ids=["living", "killed"])
def test_another_supervisor_passes_on_what_changed_meanwhile(project, given, monkeypatch, killed):
    """The side input's replica goes on, or is killed while nobody sees it."""
    monkeypatch.setenv("XDG_CACHE_HOME", project.environment["XDG_CACHE_HOME"])
    lines, table, settings = given
    spec = project.path / "operators" / "lookup-table" / "operator.json"
    spec.write_text(spec.read_text().replace('"every": 5', '"every": 0.2'))
    folder = project.path / "run"
    done = project.do("pipeline", "run", "records.json", *settings, "--detach", "--run-dir", folder, "--json")
    assert done.code == 0, done
    run = Detached(folder)
    wait_until(lambda: len(stored(run)) == 20, "the first records")
    run.kill_supervisor()
    table.write_text("id,site\na,south\n")
    if killed:
        [started] = [e for e in run.events("replica") if e["operator"] == "table" and e["state"] == "starting"]
        os.kill(int(started["id"]), signal.SIGKILL)
    with lines.open("a") as file:
        file.write('{"id": "meanwhile", "sample": "a"}\n')
    wait_until(lambda: "meanwhile" in stored(run), "it works on")
    assert stored(run)["meanwhile"] == "north"
    assert project.do("pipeline", "attach", folder, "--detach").code == 0

    def is_south():
        with lines.open("a") as file:
            file.write('{"id": "next", "sample": "a"}\n')
        return stored(run).get("next") == "south"

    wait_until(is_south, "the new table")
    assert project.do("pipeline", "set", folder, "lines.follow=false").code == 0
    done = project.do("pipeline", "attach", folder, "--json")
    assert done.code == 0, done
    restarts = {name: row["restarts"] for name, row in done.json["operators"].items()}
    assert restarts == {"lines": 0, "table": int(killed), "lookup": 0, "records": 0, "rejected": 0}

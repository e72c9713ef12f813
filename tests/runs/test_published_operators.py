"""Operators written as interactEM's published ones are, run unchanged as processes over a real broker."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from interactem.engine.errors import UnknownRunError
from interactem.engine.index import RunIndex
from interactem.engine.visiting import connected

LINES = ["one", "", "two", "x" * 100_000, "four"]


@pytest.fixture
def index(project, monkeypatch):
    """The index of runs of the project's user."""
    for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, project.environment[name])
    return RunIndex()


def record(index, run, operator, kind):
    """What a replica has stored under this kind, as whoever shows it reads it."""

    async def read():
        async with connected(index.find(run)) as (plan, storer):
            subject = plan.names.record(plan.operator(operator).index, 0, kind)
            return await storer.last_one(plan.names.record_stream, subject)

    try:
        return asyncio.run(read())
    except (KeyError, UnknownRunError):  # not yet
        return None


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_they_run_unchanged(project, index):
    (project.path / "offsets").write_text("\n".join(LINES))
    file = project.pipeline(
        {
            "source": {"operator": "published-source", "parameters": {"offsets.emd": str(project.path / "offsets")}},
            "filter": {"operator": "published-filter"},
            "display": {"operator": "published-display"},
        },
        "source.out -> filter.in",
        "filter.out -> display.in",
        name="published",
    )
    run = project.start(file)
    plan = run.folder / "plan.json"
    run.wait_for(lambda run: plan.exists(), "the plan")
    number = json.loads(plan.read_text())["run"]

    def shown(run):
        table = record(index, number, "display", "table")
        found = json.loads(table)["tables"]["shown"] if table else []
        return found if len(found) == 4 else None

    run.wait_for(shown, "all to be shown")
    expected = [{"number": n, "mode": "", "count": count} for count, n in enumerate([0, 2, 3, 4])]
    assert shown(run) == expected
    assert record(index, number, "display", "image") == b"FOUR"
    run.signal(signal.SIGINT)
    done = run.end()
    assert done.code == 130, done.err
    log = (run.folder / "logs" / "display.0.log").read_text()
    assert "shown 4, broker True" in log
    assert "shut down" in log
    assert "the lines are gone" in (run.folder / "logs" / "source.0.log").read_text()
    assert "DEBUG [source.3] 100000 characters" in (run.folder / "logs" / "filter.0.log").read_text()
    assert project.nothing_is_left()

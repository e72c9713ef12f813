"""Detached runs that lose their supervisor: they work on, get another one, or end by themselves."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from interactem.engine.index import RunIndex

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 150


@pytest.fixture
def detached(project, chain, monkeypatch):
    """A run in the background, started with what its pipeline is to be like."""
    monkeypatch.setenv("XDG_CACHE_HOME", project.environment["XDG_CACHE_HOME"])

    def start(count=COUNT, *arguments, unattended=60, **given):
        project.environment["INTERACTEM_UNATTENDED_SECONDS"] = str(unattended)
        file = chain(count, **given)
        done = project.do("pipeline", "run", file, "--detach", "--run-dir", project.path / "run", *arguments)
        assert done.code == 0, done
        return Detached(project)

    return start


class Detached:
    """A detached run, as the index and its folder show it."""

    def __init__(self, project):
        self.project = project
        self.folder = project.path / "run"

    @property
    def record(self):
        return RunIndex().find(str(self.folder))

    @property
    def events(self):
        return [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]

    @property
    def state(self):
        return self.project.do("pipeline", "ps", "--json").json[0]["state"]

    def kill_supervisor(self):
        record = self.record
        os.kill(record.supervisor.pid, signal.SIGKILL)
        wait_for(lambda: not record.supervisor.alive)

    def came(self):
        files = (self.folder / "outputs").glob(".came-*.*")
        return max((int(path.suffix[1:]) for path in files), default=0)

    def pids(self):
        return {e["id"] for e in self.events if e["kind"] == "replica" and e["state"] == "starting"}

    def attach(self, *arguments):
        return self.project.do("pipeline", "attach", self.folder, "--json", *arguments, seconds=200)


def wait_for(condition):
    until = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return



def test_it_works_on_and_is_taken_over(detached, exactly_once):
    run = detached(numbers={"rate": 20.0})
    wait_for(lambda: run.came() >= 10)
    run.kill_supervisor()
    before = run.came()
    wait_for(lambda: run.came() >= before + 20)
    assert run.state == "unattended"
    done = run.attach()
    assert done.code == 0, done
    assert done.json["state"] == "completed"
    exactly_once(run.project, COUNT)
    assert {row["restarts"] for row in done.json["operators"].values()} == {0}

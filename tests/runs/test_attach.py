"""Detached runs that lose their supervisor: they work on, get another one, or end by themselves."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time

import pytest

from interactem.engine.index import RunIndex

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 200
WAIT = 90.0


def wait_for(condition, what=""):
    until = time.monotonic() + WAIT
    while not (found := condition()):
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.02)
    return found


class Detached:
    """A detached run, as the index and its folder show it."""

    def __init__(self, project):
        self.project = project
        self.folder = project.path / "run"

    @property
    def record(self):
        return RunIndex().find(str(self.folder))

    def events(self, kind):
        lines = (self.folder / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["kind"] == kind]

    def came(self):
        """How many numbers have had their effect; what `keep` notes outside of the broker."""
        files = (self.folder / "outputs").glob(".came-*.*")
        return max((int(path.suffix[1:]) for path in files), default=0)

    def replica(self, name):
        told = [e for e in self.events("replica") if f"{e['operator']}.{e['replica']}" == name and "id" in e]
        return int(told[-1]["id"])

    def broker(self):
        (file,) = wait_for(lambda: list((self.folder / "broker").glob("*.ports")), "the broker")
        return int(file.stem.partition("_")[2])

    def lose_supervisor(self):
        record = self.record
        os.kill(record.supervisor.pid, signal.SIGKILL)
        wait_for(lambda: not record.supervisor.alive, "the supervisor's end")
        return record

    def attach(self, *arguments):
        return self.project.do("pipeline", "attach", self.folder, "--json", *arguments, seconds=200)

    def hurry(self):
        """Its source is slow, so that it does not end before a test has done what it does."""
        done = self.project.do("pipeline", "set", self.folder, "numbers.rate=1000")
        assert done.code == 0, done

    def end(self):
        """Follow it to its end."""
        self.hurry()
        done = self.attach()
        assert done.code == 0, done
        assert done.json["state"] == "completed"
        return done.json


@pytest.fixture
def detach(project, chain, monkeypatch):
    """Start a run in the background, with what its pipeline is to be like."""
    monkeypatch.setenv("XDG_CACHE_HOME", project.environment["XDG_CACHE_HOME"])

    def start(*, unattended=600, **given):
        project.environment["INTERACTEM_UNATTENDED_SECONDS"] = str(unattended)
        file = chain(COUNT, **{"numbers": {"rate": 2.0}, **given})
        done = project.do("pipeline", "run", file, "--detach", "--run-dir", project.path / "run", "--json")
        assert done.code == 0, done
        return Detached(project)

    return start


def test_it_works_on_and_is_taken_over(detach, exactly_once):
    run = detach()
    wait_for(lambda: run.came() >= 3)
    lost = run.lose_supervisor()
    pids = {name: run.replica(name) for name in ("numbers.0", "trouble.1", "keep.0")}
    before = run.came()
    wait_for(lambda: run.came() >= before + 3, "it works on")
    assert run.project.do("pipeline", "ps", "--json").json[0]["state"] == "unattended"
    assert run.project.do("pipeline", "resume", run.folder).code == 2
    summary = run.end()
    exactly_once(run.project, COUNT)
    assert {row["restarts"] for row in summary["operators"].values()} == {0}
    assert {name: run.replica(name) for name in pids} == pids, "the same processes"
    assert run.record.started == lost.started, "the same run"
    assert summary["operators"]["numbers"]["sent"] == COUNT
    assert summary["operators"]["trouble"]["received"] == COUNT


def test_what_died_meanwhile_is_started_again(detach, exactly_once):
    run = detach()
    wait_for(lambda: run.came() >= 3)
    os.kill(run.replica("trouble.0"), signal.SIGKILL)
    wait_for(lambda: any(event["state"] == "failed" for event in run.events("replica")))
    wait_for(lambda: len([e for e in run.events("replica") if e["state"] == "starting"]) == 7)
    run.lose_supervisor()
    for pid in (run.replica("trouble.1"), run.replica("keep.0"), run.broker()):
        os.kill(pid, signal.SIGKILL)
    assert run.attach("--detach").code == 0
    wait_for(lambda: any(event["state"] == "restarted" for event in run.events("broker")))
    summary = run.end()
    exactly_once(run.project, COUNT)
    restarts = {name: row["restarts"] for name, row in summary["operators"].items()}
    assert restarts == {"numbers": 0, "trouble": 2, "total": 0, "counts": 0, "keep": 1}


MOMENTS = (
    ("replica", "starting"),
    ("replica", "running"),
    ("broker", "died"),
    ("broker", "restarted"),
    ("replica", "failed"),
    ("replica", "stopped"),
    ("state", "completed"),
    ("cleaned up", "completed"),
    ("summary", ""),
)
KILLER = """
import os, pathlib, signal, sys

if "interactem.engine.detached" in sys.orig_argv:
    from interactem.engine.folders import EventLog, RunFolder

    file = pathlib.Path(os.environ["TEST_MOMENTS"])

    def come(kind, state):
        moments = file.read_text().splitlines()
        if moments and moments[0] == f"{kind},{state}":
            file.write_text("\\n".join(moments[1:]))
            os.kill(os.getpid(), signal.SIGKILL)

    record, write_summary = EventLog.record, RunFolder.write_summary

    def recorded(self, kind, **details):
        come(kind, details.get("state", ""))
        record(self, kind, **details)

    def written(self, summary):
        come("summary", "")
        write_summary(self, summary)

    EventLog.record, RunFolder.write_summary = recorded, written
"""


def test_a_supervisor_that_is_killed_at_every_bad_moment(detach, project, exactly_once, tmp_path):
    """Each time before it has told anybody of what it has just done or seen."""
    (tmp_path / "sitecustomize.py").write_text(KILLER)
    moments = tmp_path / "moments"
    moments.write_text("\n".join(map(",".join, MOMENTS)))
    paths = os.pathsep.join([str(tmp_path), *filter(None, [project.environment.get("PYTHONPATH")])])
    project.environment |= {"PYTHONPATH": paths, "TEST_MOMENTS": str(moments)}
    run = detach()
    for left in range(len(MOMENTS) - 1, 0, -1):
        wait_for(lambda left=left: len(moments.read_text().splitlines()) == left, f"before moment {-left}")
        wait_for(lambda: not run.record.supervisor.alive)
        goes_on = run.attach("--detach")
        if "pipeline resume" in goes_on.out + goes_on.err:  # killed so late that the keeper has ended meanwhile
            goes_on = run.project.do("pipeline", "resume", run.folder, "--detach")
        assert goes_on.code == 0, goes_on
        if MOMENTS[-left] == ("broker", "died"):
            wait_for(lambda: run.events("state")[-1]["state"] == "running")
            os.kill(run.broker(), signal.SIGKILL)
        if MOMENTS[-left] == ("replica", "failed"):
            os.kill(run.replica("keep.0"), signal.SIGKILL)
        if MOMENTS[-left] == ("replica", "stopped"):
            run.hurry()
    wait_for(lambda: not run.record.supervisor.alive)
    assert moments.read_text() == ""
    assert run.project.resume().end().code == 0
    exactly_once(run.project, COUNT)


def test_it_ends_by_itself(detach, exactly_once):
    run = detach(unattended=1)
    wait_for(lambda: run.came() >= 3)
    secrets = run.lose_supervisor().keeper.socket.parent
    assert run.project.nothing_is_left()
    assert not secrets.exists()
    assert [event["replicas"] for event in run.events("unattended")] == [6]
    done = run.attach()
    assert (done.code, "resume" in done.json["error"]) == (2, True)
    run.hurry()
    assert run.project.resume().end().code == 0
    exactly_once(run.project, COUNT)


def test_the_keeper_killed(detach, exactly_once):
    run = detach()
    wait_for(lambda: run.came() >= 3)
    os.kill(run.record.keeper.process.pid, signal.SIGKILL)
    run.end()
    exactly_once(run.project, COUNT)


def test_the_keeper_killed_with_the_supervisor(detach, exactly_once):
    run = detach()
    wait_for(lambda: run.came() >= 3)
    os.kill(run.lose_supervisor().keeper.process.pid, signal.SIGKILL)
    assert run.project.nothing_is_left()
    assert run.project.do("pipeline", "ps", "--json").json[0]["state"] == "interrupted"
    run.hurry()
    assert run.project.resume().end().code == 0
    exactly_once(run.project, COUNT)


def test_killed_while_it_drains(detach, exactly_once):
    run = detach(numbers={"rate": 20.0}, keep={"seconds": 0.3})
    wait_for(lambda: run.came() >= 3)
    os.kill(run.record.supervisor.pid, signal.SIGINT)
    wait_for(lambda: run.events("state")[-1]["state"] == "draining")
    run.lose_supervisor()
    done = run.attach()
    assert (done.code, done.json["state"], done.json["reason"]) == (1, "stopped", "interrupted by SIGINT")
    numbers = done.json["operators"]
    assert numbers["numbers"]["sent"] == numbers["keep"]["received"] < COUNT
    assert run.project.do("pipeline", "set", run.folder, "keep.seconds=0").code == 0
    run.hurry()
    assert run.project.resume().end().code == 0
    exactly_once(run.project, COUNT)


def test_stopped_without_a_supervisor(detach, exactly_once):
    run = detach()
    wait_for(lambda: run.came() >= 3)
    run.lose_supervisor()
    done = run.project.do("pipeline", "stop", run.folder, "--json")
    assert (done.code, done.json["state"]) == (0, "stopped"), done
    assert run.project.nothing_is_left()
    run.hurry()
    assert run.project.resume().end().code == 0
    exactly_once(run.project, COUNT)


def test_only_one_takes_over(detach):
    run = detach()
    run.lose_supervisor()
    with (run.folder / "lock").open("ab") as lock:
        wait_for(lambda: _locked(lock))  # as somebody who is about to take over has it
        done = run.attach("--detach")
        assert (done.code, "another process" in done.json["error"]) == (2, True)
    assert run.attach("--detach").json["taken_over"] is True
    assert run.attach("--detach").json["taken_over"] is False
    assert run.project.do("pipeline", "stop", run.folder, "--now").code == 0


def _locked(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_followed_and_left(detach, exactly_once):
    run = detach(trouble={"mode": "raise", "every": 1, "attempts": 1})
    process = run.project.command("pipeline", "attach", run.folder)
    seen = []
    while not any("is not to my taste" in line for line in seen):
        seen.append(process.stdout.readline())
        assert seen[-1], seen
    wait_for(lambda: "received" in process.stdout.readline(), "its progress")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=WAIT)
    assert process.returncode == 130
    assert "goes on" in told
    assert run.record.alive
    run.end()
    exactly_once(run.project, COUNT)
    again = run.project.do("pipeline", "attach", run.folder)
    assert (again.code, "completed in" in again.out) == (0, True), again


def test_runs_that_there_are_not(project):
    done = project.do("pipeline", "attach", "20260101-000000-zzzz", "--json")
    assert (done.code, "there is no run" in done.json["error"]) == (2, True)


@pytest.mark.parametrize("value", ["soon", "-1", "inf"])
def test_a_time_that_is_none(project, chain, value):
    project.environment["INTERACTEM_UNATTENDED_SECONDS"] = value
    done = project.do("pipeline", "run", chain(1), "--detach", "--json")
    assert (done.code, "INTERACTEM_UNATTENDED_SECONDS" in done.json["error"]) == (2, True), done

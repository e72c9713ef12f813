"""Pipelines run through the real command line, by a user who wishes them ill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from interactem.engine.environments import environments_folder

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = ROOT.parent / "shared" / "data" / "4dstem"
COMMAND = "from interactem.cli.main import main; main()"
WAIT = 90.0
"""Seconds that anything may take here, on a machine that is busy with other things."""


def wait_until(condition, what="", seconds=WAIT):
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.02)


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclass
class Run:
    """A command that runs a pipeline, from outside: its folder, its processes."""

    folder: Path
    process: subprocess.Popen
    token: str

    def end(self, seconds=WAIT):
        out, err = self.process.communicate(timeout=seconds)
        return Done(self.process.returncode, out, err)

    @property
    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def events(self, kind=None):
        file = self.folder / "events.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if kind is None or event["kind"] == kind]

    def wait_for(self, condition, what=""):
        def met():
            assert self.running or condition(self), f"the run ended before {what}:\n{self.end()}"
            return condition(self)

        return wait_until(met, what)

    def replicas(self):
        """The process ids of the replicas that run, by (operator, replica)."""
        last = {}
        for event in self.events("replica"):
            last[event["operator"], event["replica"]] = event
        started = {key: int(event["id"]) for key, event in last.items() if event["state"] == "starting"}
        return {key: pid for key, pid in started.items() if self._is_ours(pid)}

    def broker(self):
        """The process id of the broker, while it serves."""
        for file in (self.folder / "broker").glob("nats-server_*.ports"):
            pid = int(file.stem.partition("_")[2])
            if self._is_ours(pid):
                return pid
        return None

    def kill(self, pid):
        """Returns whether there was still something to kill."""
        with suppress(ProcessLookupError):
            if pid is not None and self._is_ours(pid):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def killing(self, choose, period, rounds=None):
        return Assassin(self, choose, period, rounds)

    def _is_ours(self, pid):
        # the number may belong to somebody else by now
        return self.token in environment_of(pid)


class Assassin:
    """Kills what `choose` gives of (name, process id), once and again until the run ends or the `with` block does.

    `victims` has the names of all that it has killed, and `rounds` how often there was anybody to kill; after `most`
    of these it stops.
    """

    def __init__(self, run, choose, period, most):
        self.victims = []
        self.rounds = 0
        self._stop = threading.Event()

        def work():
            while not self._stop.wait(period) and run.running and self.rounds != most:
                killed = [name for name, pid in choose(run) if run.kill(pid)]
                self.victims += killed
                self.rounds += bool(killed)

        self._thread = threading.Thread(target=work)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@dataclass
class Project:
    """A folder with operators, in which pipelines are run by the real command, as its user does."""

    path: Path
    environment: dict
    token: str
    started: list = field(default_factory=list)

    def pipeline(self, operators, *edges, name="test", **more):
        value = {"name": name, "operators": operators, **more}
        value["edges"] = [dict(zip(("from", "to"), edge.split(" -> "), strict=True)) for edge in edges]
        file = self.path / f"{name}.json"
        file.write_text(json.dumps(value))
        return file

    def command(self, *arguments, **options):
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *map(str, arguments)],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.started.append(process)
        return process

    def do(self, *arguments, seconds=WAIT):
        """A command to its end."""
        process = self.command(*arguments)
        out, err = process.communicate(timeout=seconds)
        return Done(process.returncode, out, err)

    def start(self, file, *arguments, folder="run"):
        """A run in the foreground, under way."""
        place = self.path / folder
        return Run(place, self.command("pipeline", "run", file, "--run-dir", place, "--json", *arguments), self.token)

    def resume(self, folder="run", *arguments):
        place = self.path / folder
        return Run(place, self.command("pipeline", "resume", place, "--json", *arguments), self.token)

    def run(self, file, *arguments, folder="run", seconds=WAIT):
        return self.start(file, *arguments, folder=folder).end(seconds)

    def kept(self, folder="run", file="kept.json"):
        return json.loads((self.path / folder / "outputs" / file).read_text())

    def processes(self):
        """All processes that anything started here has left."""
        if not sys.platform.startswith("linux"):
            return []
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and self.token in environment_of(entry.name):
                command = ""
                with suppress(FileNotFoundError, ProcessLookupError):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:  # else it has ended already
                    found.append((int(entry.name), command))
        return found

    def nothing_is_left(self):
        wait_until(lambda: not self.processes(), "all processes to be gone", 20)
        return True

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()  # which closes its pipes, also where a test has failed
        for pid, _ in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory):
    """An environment with an index of runs of its own, but the user's cache of operators' environments."""
    cache = tmp_path_factory.mktemp("cache")
    environments = environments_folder()
    environments.mkdir(parents=True, exist_ok=True)
    (cache / "interactem").mkdir()
    (cache / "interactem" / "environments").symlink_to(environments)
    runtime = tmp_path_factory.mktemp("runtime")
    runtime.chmod(0o700)
    uv = os.environ.get("UV_CACHE_DIR") or str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "uv"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERACTEM_")}
    return {**kept, "XDG_CACHE_HOME": str(cache), "XDG_RUNTIME_DIR": str(runtime), "UV_CACHE_DIR": uv}


@pytest.fixture(scope="module")
def make_project(tmp_path_factory, surroundings):
    projects = []

    def make(name="project", path=None):
        path = path or tmp_path_factory.mktemp(name)
        shutil.copytree(HERE / "operators", path / "operators", dirs_exist_ok=True)
        token = f"TEST_TOKEN={uuid.uuid4().hex}"
        variable, _, value = token.partition("=")
        projects.append(Project(path, {**surroundings, variable: value}, token))
        return projects[-1]

    yield make
    for project in projects:
        project.close()


@pytest.fixture
def project(make_project):
    made = make_project()
    yield made
    made.close()
    assert made.nothing_is_left()


CHAIN = (
    "numbers.out -> trouble.in",
    "trouble.out -> total.in",
    "total.out -> counts.in",
    "trouble.out -> keep.in",
)


@pytest.fixture
def chain(project):
    """Numbers, squared by two replicas, counted by a reducer and kept by a sink."""

    def write(count=100, *, numbers=None, trouble=None, total=None, keep=None, name="chain", **more):
        operators = {
            "numbers": {"operator": "count-up", "parameters": {"count": count, **(numbers or {})}},
            "trouble": {"operator": "trouble", "replicas": 2, "parameters": trouble or {}, **more},
            "total": {"operator": "total", "parameters": {"count": count, **(total or {})}},
            "counts": {"operator": "keep", "parameters": {"file": "counts.json"}},
            "keep": {"operator": "keep", "parameters": keep or {}},
        }
        return project.pipeline(operators, *CHAIN, name=name)

    return write


def squares(count, *, without=(), size=8):
    """What `keep` writes for the numbers from 0 on that came once each."""
    return [[number, number**2, size, 1] for number in range(count) if number not in without]


def assert_exactly_once(project, count, *, without=(), folder="run"):
    assert project.kept(folder) == squares(count, without=without)
    # a run that was drained has sent counts at that end too
    ends = sorted(project.kept(folder, "counts.json"), key=lambda kept: sum(kept[1]))
    assert ends[-1][1] == [int(number not in without) for number in range(count)]
    assert {times for *_, times in ends} == {1}


@pytest.fixture
def exactly_once():
    return assert_exactly_once


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def data_folder():
    return DATA

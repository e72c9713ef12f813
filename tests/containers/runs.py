"""Pipelines run in containers by the real command, from outside. Not a test: what the tests of runs share."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = "from interactem.cli.main import main; main()"
WAIT = 120.0
PREFIX = f"localhost/interactem-tests-{os.getpid()}"
WHOLE = "FROM ghcr.io/nersc/interactem/operator\nCOPY . /app/\n"
CONTAINERFILE = "FROM ghcr.io/nersc/interactem/operator\nCOPY ./run.py /app/run.py\n"


def wait_until(condition, what="", seconds=WAIT):
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.05)


class Project:
    """A folder with the operators of the tests of runs, each with an image of its own in the engine."""

    def __init__(self, folder, engine):
        self.folder = folder
        self.engine = engine
        self.images = []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INTERACTEM_")}
        self.environment = {**environment, "XDG_CACHE_HOME": str(folder / "cache")}
        self.processes = []

    def add(self, name, run=None, *, whole=False):
        """An operator of the tests of runs, with another `run.py` if one is given; `whole`: with all of its folder."""
        folder = self.folder / "operators" / name
        if not folder.exists():
            shutil.copytree(ROOT / "tests" / "runs" / "operators" / name, folder)
            spec = json.loads((folder / "operator.json").read_text())
            (folder / "operator.json").write_text(json.dumps({**spec, "image": f"{PREFIX}/{name}"}))
            (folder / "Containerfile").write_text(WHOLE if whole else CONTAINERFILE)
        if run is not None:
            (folder / "run.py").write_text(run)
        self.build(name)

    def build(self, name):
        folder, image = self.folder / "operators" / name, f"{PREFIX}/{name}"
        file = str(folder / "Containerfile")
        done = self.engine.command("build", "-q", "--network", "host", "-t", image, "-f", file, str(folder))
        assert done.returncode == 0, done.stderr
        self.images.append(done.stdout.strip())

    def pipeline(self, operators, *edges, name="test"):
        pairs = [dict(zip(("from", "to"), edge.split(" -> "), strict=True)) for edge in edges]
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps({"name": name, "operators": operators, "edges": pairs}))
        return file

    def chain(self, count=50, *, numbers=None, trouble=None, **more):
        """Numbers, squared by two replicas, and kept by a sink."""
        operators = {
            "numbers": {"operator": "count-up", "parameters": {"count": count, **(numbers or {})}},
            "trouble": {"operator": "trouble", "replicas": 2, "parameters": trouble or {}, **more},
            "keep": {"operator": "keep"},
        }
        return self.pipeline(operators, "numbers.out -> trouble.in", "trouble.out -> keep.in")

    def command(self, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def do(self, *arguments, code=0):
        """A command to its end; what it has printed as JSON."""
        return end(self.command(*arguments, "--json"), code)

    def start(self, file, *arguments, folder="run"):
        launcher = ("--launcher", self.engine.name, "--run-dir", self.folder / folder, "--json")
        return self.command("pipeline", "run", file, *launcher, *arguments)

    def run(self, file, *arguments, folder="run", code=0):
        return end(self.start(file, *arguments, folder=folder), code)

    def events(self, kind, folder="run"):
        file = self.folder / folder / "events.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if event["kind"] == kind]

    def plan(self, folder="run"):
        return json.loads((self.folder / folder / "plan.json").read_text())

    def kept(self, folder="run"):
        return json.loads((self.folder / folder / "outputs" / "kept.json").read_text())

    def containers(self, folder="run"):
        """The names of the run's containers, whatever their state."""
        if not (self.folder / folder / "plan.json").exists():
            return []
        label = f"label=interactem.run={self.plan(folder)['run']}"
        return self.engine.command("ps", "-a", "--filter", label, "--format", "{{.Names}}").stdout.split()

    def nothing_is_left(self, folder="run"):
        return wait_until(lambda: not self.containers(folder), "all containers to be gone")

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for folder in self.folder.iterdir():
            for name in self.containers(folder.name):
                self.engine.command("rm", "-f", name)
        self.engine.command("rmi", "-f", *self.images)


def end(process, code=0):
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
    return json.loads(out)


@contextmanager
def killing(project, period, folder="run"):
    """Kills a replica's container every so often, each time another one; gives the list of those that were killed."""
    killed = []
    over = threading.Event()
    chance = random.Random(1)

    def work():
        while not over.wait(period):
            names = sorted(project.containers(folder))
            if names:
                victim = chance.choice(names)
                if project.engine.command("kill", victim).returncode == 0:
                    killed.append(victim)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def squares(count, *, without=()):
    return [[number, number**2, 8, 1] for number in range(count) if number not in without]

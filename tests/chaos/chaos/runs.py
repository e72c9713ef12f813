"""A run of a pipeline by the real command, seen from outside: its processes, its folder, its broker's credentials."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from interactem.engine.environments import environments_folder

INTERACTEM = Path(sys.executable).parent / "interactem"
TOKEN = "CHAOS_TOKEN"
COMMAND_SECONDS = 120.0
GONE_SECONDS = 20.0


class CommandError(RuntimeError):
    """A command of interactem did what it should not have."""


@dataclass(frozen=True, slots=True)
class Login:
    """How to reach the broker of a run."""

    url: str
    credentials: Path | None


class Containers(Protocol):
    """The engine of a run whose replicas are in containers."""

    name: str

    def processes(self, container: str) -> tuple[int, ...]: ...

    def containers(self, run: str) -> list[str]: ...

    def remove(self, containers: list[str]) -> None: ...


class Run:
    """One run, through all its supervisors. `broker_url` is that of a broker which is not its own.

    `surroundings` is the folder for what interactem keeps of its user, so that nobody else's runs are touched. Replicas
    are processes, or containers of an `engine`.
    """

    def __init__(
        self, folder: Path, surroundings: Path, *, broker_url: str | None = None, engine: Containers | None = None
    ) -> None:
        self.folder = folder
        self.place = folder / "run"
        self._broker = () if broker_url is None else ("--broker", broker_url)
        token = uuid.uuid4().hex
        self._token = f"{TOKEN}={token}"
        self._secrets = surroundings / "runtime" / "interactem"
        self._environment = {**_environment_of_its_own(surroundings), TOKEN: token}
        self._process: subprocess.Popen[bytes] | None = None
        self._events = _Tail(self.place / "events.jsonl")
        self._starts = 0
        self._replicas: dict[str, str] = {}
        self._engine = engine
        self._url = ""
        self.states: list[str] = []
        """The states that the run has told of itself."""

    # what is done to it

    def start(self, pipeline: Path, *options: str) -> None:
        launcher = () if self._engine is None else ("--launcher", self._engine.name)
        self._launch("run", str(pipeline), "--run-dir", str(self.place), *launcher, *options)

    def resume(self) -> None:
        self._launch("resume", str(self.place))

    def succeed(self) -> list[str]:
        """Go on after its supervisor was killed. Returns who was left when all should have died with it."""
        left = self.wait_until_gone()
        self.resume()
        return left

    def _launch(self, what: str, *arguments: str) -> None:
        self._starts += 1
        broker = self._broker if what != "attach" else ()
        command = [str(INTERACTEM), "pipeline", what, *arguments, "--json", "--allow-dead", *broker]
        with self._output("out").open("wb") as out, self._output("err").open("wb") as err:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # Ctrl-C is for the program that disturbs it
            )

    def command(self, *arguments: str) -> Any:
        """What another command says of it, as JSON."""
        command = [str(INTERACTEM), "pipeline", *arguments, "--json", *self._broker]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, timeout=COMMAND_SECONDS, check=False
        )
        if done.returncode:
            raise CommandError(f"{' '.join(command)}: exit code {done.returncode}: {_last(done.stderr + done.stdout)}")
        return json.loads(done.stdout)

    def end(self) -> list[str]:
        """Kill all that is left of it; who that was."""
        left = list(self.processes())
        for pid, _ in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        if (containers := self.containers()) and self._engine is not None:
            self._engine.remove(containers)
        return [command for _, command in left] + containers

    # its supervisor

    @property
    def supervisor(self) -> int | None:
        """Its process, while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def wait_until_gone(self) -> list[str]:
        """Whoever is left some time after the end of its supervisor."""
        if self._process is not None:
            self._process.wait()
        until = time.monotonic() + GONE_SECONDS
        while (left := self._left()) and time.monotonic() < until:
            time.sleep(0.02)
        return left

    def _left(self) -> list[str]:
        """The command lines of its processes, or the names of its containers."""
        return [command for _, command in self.processes()] or self.containers()

    def summary(self) -> Mapping[str, Any]:
        """What it has left behind; `state` is `interrupted` where that is nothing."""
        file = self.place / "summary.json"
        if file.exists():
            value: dict[str, Any] = json.loads(file.read_text())
            return value
        words = self._output("err").read_bytes() or self._output("out").read_bytes()
        return {"state": "interrupted", "reason": _last(words)}

    @property
    def refused(self) -> bool:
        """Whether the last command said why it did not start anything."""
        with suppress(ValueError):
            return "error" in json.loads(self._output("out").read_text())
        return False

    def _output(self, name: str) -> Path:
        return self.folder / f"{name}.{self._starts}"

    # its processes

    def look(self) -> None:
        """Take note of what it has told since the last time."""
        for event in self._events.read():
            if event["kind"] == "state":
                self.states.append(event["state"])
                self._url = event.get("broker", self._url)
            elif event["kind"] == "replica":
                name = f"{event['operator']}.{event['replica']}"
                if event["state"] in ("starting", "running"):  # the second of one that was taken over too
                    self._replicas[name] = str(event["id"])
                else:
                    self._replicas.pop(name, None)

    def replicas(self) -> dict[str, tuple[int, ...]]:
        """The processes of the replicas that live, by names such as `pass.0`."""
        self.look()
        found = {name: self._processes_of(number) for name, number in self._replicas.items()}
        return {name: pids for name, pids in found.items() if pids}

    def _processes_of(self, replica: str) -> tuple[int, ...]:
        if self._engine is not None:
            return self._engine.processes(replica)
        return (int(replica),) if self.is_ours(int(replica)) else ()

    def containers(self) -> list[str]:
        """All that it has, whatever their state."""
        planned = self._engine is not None and (self.place / "plan.json").exists()
        return self._engine.containers(self.name) if self._engine is not None and planned else []

    def broker(self) -> int | None:
        """Its own broker's process, also one that only starts."""
        return next(filter(self.is_ours, _named("nats-server")), None)

    def is_ours(self, pid: int) -> bool:
        """Whether a process is of this run: its number may belong to somebody else by now."""
        return self._token in _environment(pid)

    def processes(self) -> Iterator[tuple[int, str]]:
        """All that live, with their command lines."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self.is_ours(int(entry.name)):
                with suppress(OSError):
                    yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()

    # its broker

    def login(self) -> Login | None:
        """How to reach its own broker; None while nobody can."""
        file = self._secrets / self.name / "broker.json"
        return Login(self._url, file) if self._url and file.exists() else None

    def is_client(self, client: str, replica: str) -> bool:
        """Whether a client of the broker that names itself so is this replica."""
        operator, _, index = replica.rpartition(".")
        keys = [planned["key"] for planned in self._plan["operators"]]
        return client == f"{self.name} {keys.index(operator)}.{index}"

    @property
    def name(self) -> str:
        return str(self._plan["run"])

    @cached_property
    def _plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads((self.place / "plan.json").read_text())
        return plan


class DetachedRun(Run):
    """One in the background. Its broker and its replicas outlive its supervisor, which another replaces."""

    def _launch(self, what: str, *arguments: str) -> None:
        super()._launch(what, *arguments, "--detach")

    @property
    def supervisor(self) -> int | None:
        """Its process, or the command that is about to start one."""
        with suppress(OSError, ValueError, KeyError):
            index = Path(self._environment["XDG_CACHE_HOME"], "interactem", "runs", f"{self.name}.json")
            pid = int(json.loads(index.read_text())["supervisor"]["pid"])
            if self.is_ours(pid):
                return pid
        return super().supervisor

    def succeed(self) -> list[str]:
        self._launch("attach", str(self.place))
        return []


def make_surroundings(folder: Path) -> Path:
    """A folder for what interactem keeps of its user: an index of its own, but the environments that are there."""
    environments = environments_folder()
    environments.mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "interactem").mkdir(parents=True)
    (folder / "cache" / "interactem" / "environments").symlink_to(environments)
    (folder / "runtime").mkdir(mode=0o700)
    return folder


def _environment_of_its_own(surroundings: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERACTEM_")}
    uv = os.environ.get("UV_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "uv")
    places = {"XDG_CACHE_HOME": surroundings / "cache", "XDG_RUNTIME_DIR": surroundings / "runtime", "UV_CACHE_DIR": uv}
    return {**kept, **{name: str(place) for name, place in places.items()}}


class _Tail:
    """The lines of a growing file of JSON, as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def read(self) -> list[dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _named(program: str) -> Iterator[int]:
    """The processes of a program that live."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text = stat.read_text()
            name, after = text.partition(" (")[2].rpartition(")")[::2]
            if name == program and after.split()[0] not in "ZX":
                yield int(stat.parent.name)


def _last(text: bytes) -> str:
    return "\n".join(text.decode(errors="replace").strip().splitlines()[-10:])

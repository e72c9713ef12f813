"""The runs of this user, and where each one's secrets are.

The index lies in the cache folder, one file a run, so that ended and interrupted runs are found after a reboot too.
Secrets lie in the folder that the system empties then, where there is one; the index has only the paths to them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from interactem.engine.environments import cache_folder
from interactem.engine.errors import EngineError, UnknownRunError
from interactem.engine.files import write_json

VERSION = 1
ENDED = frozenset({"completed", "stopped", "failed"})
LAST = "last"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, such that another one with its id, after it ended or on another machine, is not taken for it."""

    pid: int
    started: str
    """When it started, as the system counts."""
    machine: str
    """This machine, and this time that it is up."""

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        return cls(pid, _start_time(pid), _machine())

    @property
    def alive(self) -> bool:
        return bool(self.started) and self == ProcessIdentity.of(self.pid)


@dataclass(frozen=True, slots=True)
class KeeperRecord:
    """What holds the broker and the replicas of a detached run, and where a supervisor finds it."""

    process: ProcessIdentity
    socket: Path


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the index knows of a run. The run's own folder has the rest."""

    run: str
    name: str
    """The pipeline's."""
    folder: Path
    supervisor: ProcessIdentity
    url: str
    """The broker's."""
    credentials: Path | None
    """The file with the broker's user and password."""
    started: str
    """ISO 8601."""
    state: str
    keeper: KeeperRecord | None = None
    """Of a detached run."""

    @property
    def alive(self) -> bool:
        """Whether its supervisor runs."""
        return self.state not in ENDED and self.supervisor.alive

    @property
    def interrupted(self) -> bool:
        """Whether it has neither ended nor a supervisor, nor works without one: it can be resumed."""
        return self.state not in ENDED and not self.supervisor.alive and not self.unattended

    @property
    def unattended(self) -> bool:
        """Whether it has no supervisor, and its broker and replicas wait for another one."""
        if self.state in ENDED or self.keeper is None or self.supervisor.alive:
            return False
        return self.keeper.process.alive


class RunIndex:
    """The index. Each method reads or writes files; a run's record is written by its supervisor alone."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "runs"

    def register(self, record: RunRecord) -> None:
        """Add a run, or take the place of what is known of it."""
        _private_folder(self.folder)
        write_json(self._file(record.run), {"version": VERSION, **asdict(record)}, mode=0o600)

    def update(self, run: str, *, state: str | None = None, url: str | None = None) -> RunRecord:
        """Change what is given. Raises `UnknownRunError` where the run is not in the index."""
        record = self._read(self._file(run))
        if record is None:
            raise UnknownRunError(run, f"there is no run {run}")
        record = replace(record, state=state or record.state, url=url or record.url)
        self.register(record)
        return record

    def remove(self, run: str) -> None:
        self._file(run).unlink(missing_ok=True)

    def runs(self) -> list[RunRecord]:
        """The runs whose folders still exist, the newest first. What cannot be read is no record of ours."""
        files = self.folder.glob("*.json") if self.folder.is_dir() else ()
        records = [record for file in files if (record := self._read(file)) and record.folder.is_dir()]
        return sorted(records, key=lambda record: (record.started, record.run), reverse=True)

    def find(self, given: str) -> RunRecord:
        """The run that is meant by its id, the beginning of its id, its folder, or `last`.

        Raises `UnknownRunError` where there is none, or more than one.
        """
        records = self.runs()
        if given == LAST and records:
            return records[0]
        exact = [record for record in records if record.run == given or record.folder == Path(given).absolute()]
        found = exact or [record for record in records if record.run.startswith(given)]
        if len(found) == 1 or exact:
            return found[0]
        if found:
            raise UnknownRunError(given, f"{given!r} is the beginning of several runs", [each.run for each in found])
        newest = [record.run for record in records[:5]]
        reason = f"there is no run {given!r}; the newest" if newest else f"there is no run {given!r}, nor any other"
        raise UnknownRunError(given, reason, newest)

    def clean(self, secrets: Path | None = None) -> list[str]:
        """Forget the runs whose folders are gone, and remove the secrets of runs that do not run; their ids."""
        for file in self.folder.glob("*.json") if self.folder.is_dir() else ():
            record = self._read(file)
            if record is not None and not record.folder.is_dir() and not record.alive and not record.unattended:
                file.unlink(missing_ok=True)
        alive = {record.run for record in self.runs() if record.alive or record.unattended}
        place = secrets or user_folder()
        stale = [path for path in sorted(place.iterdir()) if path.is_dir() and path.name not in alive]
        for path in stale:
            shutil.rmtree(path)
        return [path.name for path in stale]

    def _file(self, run: str) -> Path:
        return self.folder / f"{run}.json"

    def _read(self, file: Path) -> RunRecord | None:
        try:
            value = json.loads(file.read_bytes())
            return _record(value) if value["version"] == VERSION else None
        except (OSError, ValueError, TypeError, KeyError):
            return None


def _record(value: Mapping[str, Any]) -> RunRecord:
    given = {field.name: value[field.name] for field in fields(RunRecord) if field.name != "keeper"}
    if keeper := value.get("keeper"):
        given["keeper"] = KeeperRecord(ProcessIdentity(**keeper["process"]), Path(keeper["socket"]))
    given["supervisor"] = ProcessIdentity(**given["supervisor"])
    given["folder"] = Path(given["folder"])
    given["credentials"] = Path(given["credentials"]) if given["credentials"] else None
    return RunRecord(**given)


def user_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder for the secrets of this user's runs, which nobody else enters; made if need be."""
    given = environment.get("XDG_RUNTIME_DIR")
    if given and os.access(given, os.W_OK | os.X_OK) and os.stat(given).st_uid == os.getuid():
        return _private_folder(Path(given, "interactem"))
    return _private_folder(cache_folder(environment) / "secrets")


def secrets_folder(run: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder for the secrets of one run."""
    return _private_folder(user_folder(environment) / run)


def remove_secrets(run: str, environment: Mapping[str, str] = os.environ) -> None:
    """Remove them. Does nothing where there are none."""
    shutil.rmtree(user_folder(environment) / run, ignore_errors=True)


def _private_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise EngineError(f"{folder} belongs to another user; set XDG_RUNTIME_DIR to a folder of your own")
    folder.chmod(0o700)
    return folder


def _start_time(pid: int) -> str:
    """Empty for a process that does not exist, or has ended and was not reaped yet."""
    if sys.platform == "linux":
        with suppress(OSError):
            # the name in parentheses may hold anything, a parenthesis too
            after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            return "" if after_name[0] in "ZX" else after_name[19]
        return ""
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout.strip()


def _machine() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()

"""The run folder: what a run leaves behind for people, and for its own resumption."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interactem.engine.errors import RunFolderError
from interactem.engine.files import write_json

VERSION = 1
"""Of `plan.json`, `events.jsonl` and `summary.json`."""

FOLDER_TAKEN = "there is a run in this folder already; resume it, or give another folder with --run-dir"

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_run_id(clock: Callable[[], datetime] = utc_now) -> str:
    """A new id, such as `20260131-174502-k3xq`: sorts by time, and is safe in the broker's names and in paths."""
    return f"{clock():%Y%m%d-%H%M%S}-" + "".join(secrets.choice(_BASE32) for _ in range(4))


class RunFolder:
    """The places in a run's folder. `create` and `open` make one that can be used."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.plan = self.path / "plan.json"
        self.events = self.path / "events.jsonl"
        self.logs = self.path / "logs"
        self.outputs = self.path / "outputs"
        self.broker = self.path / "broker"
        self.summary = self.path / "summary.json"

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """The folder of a new run. Raises `RunFolderError` where there is a run in it already, or it cannot be made."""
        folder = cls(path)
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            # whoever makes this file has the folder: two runs that start at once do not share it
            folder.events.touch(exist_ok=False)
            for part in (folder.logs, folder.outputs, folder.broker):
                part.mkdir(exist_ok=True)
        except FileExistsError:
            if folder.events.exists():
                raise RunFolderError(folder.path, FOLDER_TAKEN) from None
            raise RunFolderError(folder.path, "is in the way: a run needs a folder of its own") from None
        except OSError as error:
            reason = f"cannot be made: {error.strerror}; give another folder with --run-dir"
            raise RunFolderError(folder.path, reason) from None
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of a run that was started before. Raises `RunFolderError` where there is none."""
        folder = cls(path)
        if not folder.plan.is_file():
            raise RunFolderError(folder.path, "holds no run: it has no plan.json")
        return folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """For as long as somebody runs this run, or looks into its broker: nobody else may meanwhile.

        Raises `RunFolderError` where somebody does. The lock goes with its process.
        """
        with (self.path / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunFolderError(self.path, "another process is at work on this run; try again") from None
            yield

    def log(self, operator: str, replica: int) -> Path:
        return self.logs / f"{operator}.{replica}.log"

    def remove_empty_work(self) -> None:
        """Of the folders that replicas have had to work in, those in which nothing was kept."""
        for folder in (*self.path.glob("work/*"), self.path / "work"):
            with suppress(OSError):
                folder.rmdir()

    def write_plan(self, plan: dict[str, Any]) -> None:
        write_json(self.plan, {"version": VERSION, **plan})

    def read_plan(self) -> dict[str, Any]:
        return self._read(self.plan)

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_json(self.summary, {"version": VERSION, **summary})

    def read_summary(self) -> dict[str, Any] | None:
        """The summary; None for a run that has not ended yet, or was killed."""
        return self._read(self.summary) if self.summary.is_file() else None

    def _read(self, file: Path) -> dict[str, Any]:
        try:
            value = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise RunFolderError(self.path, f"{file.name} cannot be read: {error}") from None
        if not isinstance(value, dict) or value.get("version") != VERSION:
            raise RunFolderError(self.path, f"{file.name} is not of version {VERSION}, which this program reads")
        return value


class EventLog:
    """What happens in a run, one JSON line each, written as it happens.

    A write that fails, as on a full disk, ends nothing: the events are kept and written with the next one. `failure`
    says why as long as there are such.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._waiting: list[bytes] = []
        self.failure: OSError | None = None
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._drop_torn_line()

    def record(self, kind: str, *, operator: str | None = None, replica: int | None = None, **details: Any) -> None:
        """Add an event. Details that JSON does not know, such as paths, become text."""
        event: dict[str, Any] = {"version": VERSION, "time": _iso(self._clock()), "kind": kind}
        event |= {name: value for name, value in (("operator", operator), ("replica", replica)) if value is not None}
        self._waiting.append(json.dumps(event | details, default=str).encode() + b"\n")
        while self._waiting:
            try:
                self._write(self._waiting[0])
            except OSError as error:
                self.failure = error
                return
            del self._waiting[0]
        self.failure = None

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        end = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written < len(line):
                os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, end)
            raise

    def _drop_torn_line(self) -> None:
        """What a killed run wrote half of is no event, and the next one must not be written onto it."""
        size = end = os.fstat(self._file).st_size
        while end > 0:
            start = max(0, end - 4096)
            found = os.pread(self._file, end - start, start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._file, end)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a run, also of one that still runs or was killed: a last line that is not whole is left out."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError:
                raise RunFolderError(path.parent, f"{path.name}, line {number}: is not JSON") from None


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""What each process of a run uses, sampled while it runs: memory, CPU time. Reads `/proc`."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Growth:
    """Resident bytes of one process: the medians of the first and of the last quarter of its life."""

    first: float
    last: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Growth:
        """Raises `ValueError` for fewer than four samples."""
        if len(samples) < 4:
            raise ValueError(f"{len(samples)} samples have no quarters; sample more often, or for longer")
        quarter = len(samples) // 4
        return cls(statistics.median(samples[:quarter]), statistics.median(samples[-quarter:]))

    @property
    def factor(self) -> float:
        return self.last / self.first


@dataclass
class Sampler:
    """Samples what `read` says of each process, every `period` seconds at most; `watch` is called more often.

    The processes are `supervisor`, `broker`, and replicas such as `sender.0`.
    """

    read: Callable[[int], float]
    period: float
    samples: dict[str, list[float]] = field(default_factory=dict)
    _due: float = 0.0

    def watch(self, supervisor: int, folder: Path) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self.period
        for name, pid in self._processes(supervisor, folder):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                self.samples.setdefault(name, []).append(self.read(pid))

    def _processes(self, supervisor: int, folder: Path) -> Iterator[tuple[str, int]]:
        yield "supervisor", supervisor
        yield from (("broker", pid) for pid in children(supervisor, "nats-server"))
        events = folder / "events.jsonl"
        if events.is_file():
            yield from replicas(events.read_text().splitlines(keepends=True))

    def growths(self) -> dict[str, Growth]:
        """By process; a process that lived too short to have quarters is left out."""
        return {name: Growth.of(found) for name, found in self.samples.items() if len(found) >= 4}

    def last(self) -> dict[str, float]:
        """The last sample of each process."""
        return {name: found[-1] for name, found in self.samples.items()}


def replicas(events: Sequence[str]) -> list[tuple[str, int]]:
    """The replicas of a run and their processes, from the lines of its `events.jsonl`; the last may be half written."""
    found: dict[str, int] = {}
    for line in events:
        event = json.loads(line) if line.endswith("\n") else {}
        if event.get("kind") == "replica":
            name = f"{event['operator']}.{event['replica']}"
            if event["state"] == "starting":
                found[name] = int(event["id"])
            elif event["state"] in ("stopped", "failed"):
                found.pop(name, None)
    return list(found.items())


def resident(pid: int) -> int:
    """The resident bytes of a process. Raises `FileNotFoundError` or `ProcessLookupError` where there is none."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process so far. Raises `FileNotFoundError` or `ProcessLookupError` where there is none."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


def children(parent: int, program: str) -> list[int]:
    """The processes that `parent` started and that run `program` now."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            pid, name, its_parent = parse_stat(stat.read_text())
            if its_parent == parent and name == program:
                found.append(pid)
    return found


def parse_stat(text: str) -> tuple[int, str, int]:
    """Process, program and parent from `/proc/<pid>/stat`. The program's name may hold spaces and brackets."""
    before, _, after = text.rpartition(")")
    pid, _, name = before.partition(" (")
    return int(pid), name, int(after.split()[1])

"""Shared memory of runs: a folder for each run, with one for each replica that sends large messages to its neighbours."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interactem.engine.launchers import Place
from interactem.engine.plan import MEBIBYTE, Plan, PlannedOperator
from interactem.runtime.views import arena_name

PLACE = Path("/dev/shm")
PREFIX = "interactem-"
INSIDE = "/interactem/arenas"
"""The run's folder, as a container sees it."""
MOST = 512 * MEBIBYTE
"""Of an arena; more in flight is no use to anyone."""
LEAST = 8 * MEBIBYTE
_SHARE = 2
"""All arenas of a run take one of so many parts of what there is, at most."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many bytes there are for arenas, altogether; `why` there are none."""

    bytes: int
    why: str = ""

    def each(self, arenas: int) -> int:
        """For one of so many; 0 where that would be too small to be of use."""
        part = min(MOST, self.bytes // max(1, arenas)) // MEBIBYTE * MEBIBYTE
        return part if part >= LEAST else 0


def folder_of(run: str) -> Path:
    return PLACE / f"{PREFIX}{run}"


def find_room(place: Path = PLACE) -> Room:
    """What there is on this machine, or in the container that we are in."""
    if sys.platform != "linux":
        return Room(0, "there is shared memory on Linux alone")
    if not place.is_dir():
        return Room(0, f"there is no {place}")
    if not os.access(place, os.W_OK | os.X_OK):
        return Room(0, f"{place} cannot be written to")
    about = os.statvfs(place)
    free = about.f_bavail * about.f_frsize
    there = min([free, *_memory()]) // _SHARE
    if there < LEAST:
        return Room(0, f"{place} has {free // MEBIBYTE} MiB free, of which too few can be used")
    return Room(there)


def _memory() -> Iterator[int]:
    """Bytes of memory that can be used: the machine's, and those of our own control group."""
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024
    for limit, usage in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        most, used = _text(limit).strip(), _text(usage).strip()
        if most.isdecimal() and used.isdecimal():
            yield max(0, int(most) - int(used))


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def arenas_of(plan: Plan) -> list[tuple[PlannedOperator, int]]:
    """The replicas that have one."""
    return [(o, replica) for o in plan.operators if o.assignment.arena for replica in range(o.replicas)]


def is_used(operator: PlannedOperator) -> bool:
    """Whether the replicas of an operator send or receive by shared memory."""
    return bool(operator.assignment.arena) or any(entry.shm for entry in operator.assignment.inputs)


def binds(run: str, operator: PlannedOperator, replica: int) -> list[Place]:
    """What a replica's container is given: its own arena, and those that it reads from."""
    folder, given = folder_of(run), operator.assignment
    own = [arena_name(operator.index, replica)] if given.arena else []
    others = {arena_name(e.sender, n): None for e in given.inputs if e.shm for n in range(e.senders)}
    return [
        *(Place(folder / name, f"{INSIDE}/{name}", writable=True, owned=True) for name in own),
        *(Place(folder / name, f"{INSIDE}/{name}") for name in others),
    ]


def make(plan: Plan) -> None:
    """The folders that are missing. Raises `OSError`."""
    found = arenas_of(plan)
    if not found:
        return
    folder = folder_of(plan.run)
    folder.mkdir(mode=0o700, exist_ok=True)
    for operator, replica in found:
        (folder / arena_name(operator.index, replica)).mkdir(mode=0o700, exist_ok=True)


def remove(run: str) -> None:
    """Give the memory back. Raises `OSError`."""
    folder = folder_of(run)
    if folder.is_dir():
        shutil.rmtree(folder)

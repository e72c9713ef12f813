"""Shared memory of runs: a folder for each run, with one for each replica that sends large messages.

It lasts as long as the run. Of one that ends before everything is worked off, what is left goes into the run's folder,
where `resume` finds it. Where the machine ends, it is lost: `resume` is told so.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch

from interactem.engine.index import RunIndex
from interactem.engine.launchers import Place
from interactem.engine.plan import MEBIBYTE, Plan, PlannedOperator
from interactem.runtime.arena_index import DATA, INDEX, Index
from interactem.runtime.views import arena_name

PLACE = Path("/dev/shm")
PREFIX = "interactem-"
INSIDE = "/interactem/arenas"
"""The run's folder, as a container sees it."""
MOST = 512 * MEBIBYTE
"""Of an arena; more in flight is no use to anyone."""
LEAST = 8 * MEBIBYTE
STATE = "state"
OWNER = "owner.json"
IN_MEMORY, PUT_AWAY = "in memory", "put away"
_NAME = PREFIX + r"\d{8}-\d{6}-[a-z0-9]{4}"
_SHARE = 2
"""All arenas of a run take one of so many parts of what there is, at most."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many bytes there are for arenas, altogether; `why` there are none."""

    bytes: int
    why: str = ""

    def each(self, arenas: int) -> tuple[int, str]:
        """For one of so many; 0 where there is nothing, or too little to be of use, and why."""
        part = min(MOST, self.bytes // max(1, arenas)) // MEBIBYTE * MEBIBYTE
        if part >= LEAST:
            return part, ""
        return 0, self.why or f"{part // MEBIBYTE} MiB for each of {arenas} senders are too few"


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


def make(plan: Plan, place: Path) -> bool:
    """Make what is missing, or take up what `put_away` has left in `place`. Raises `OSError`.

    Returns whether what an earlier execution had in memory is gone: the machine was started again since, or somebody
    has removed it.
    """
    found = arenas_of(plan)
    if not found:
        return False
    folder, state = folder_of(plan.run), _state(place)
    lost = state == IN_MEMORY and not folder.is_dir()
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / OWNER).write_text(json.dumps({"index": str(RunIndex().folder), "folder": str(place.parent)}))
    for operator, replica in found:
        (folder / arena_name(operator.index, replica)).mkdir(mode=0o700, exist_ok=True)
    if state == PUT_AWAY:
        for saved in _arenas_in(place):
            copy_arena(saved, folder / saved.name)
    _set_state(place, IN_MEMORY)
    for saved in _arenas_in(place):
        shutil.rmtree(saved)
    return lost


def put_away(run: str, place: Path, *, keep: bool) -> None:
    """Give the memory back; with `keep`, what readers have not seen yet goes to `place`. Raises `OSError`.

    Where that does not fit on the disk, everything stays as it is.
    """
    folder = folder_of(run)
    if not folder.is_dir():
        return
    if keep:
        place.mkdir(exist_ok=True)
        for arena in _arenas_in(folder):
            copy_arena(arena, place / arena.name)
    if place.is_dir():
        _set_state(place, PUT_AWAY)
    shutil.rmtree(folder)


def _arenas_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _state(place: Path) -> str:
    return _text(str(place / STATE)).strip()


def _set_state(place: Path, state: str) -> None:
    place.mkdir(exist_ok=True)
    new = place / f"{STATE}.new"
    new.write_text(state)
    new.replace(place / STATE)


def copy_arena(source: Path, target: Path) -> None:
    """What is held in an arena, at the same places in another folder. Raises `OSError`."""
    try:
        index = Index.open(source)
    except (FileNotFoundError, ValueError):
        return  # nothing was ever put into it
    try:
        target.mkdir(mode=0o700, exist_ok=True)
        about = target.stat()
        with (source / DATA).open("rb") as old, (target / DATA).open("wb") as new:
            new.truncate(index.capacity)
            for number in index.held():
                offset, size = index.extent(number)
                os.posix_fallocate(new.fileno(), offset, size)
                old.seek(offset)
                new.seek(offset)
                new.write(old.read(size))
        shutil.copyfile(source / INDEX, target / INDEX)
        if os.getuid() == 0:  # containers run as somebody else
            for name in (DATA, INDEX):
                os.chown(target / name, about.st_uid, about.st_gid)
    finally:
        index.close()


def left_behind() -> dict[str, Path | None]:
    """The runs of this user that have shared memory and do not run, with their folders; None where that is gone.

    Each says itself in which index it stands: there may be several.
    """
    found: dict[str, Path | None] = {}
    for path in sorted(PLACE.iterdir()) if PLACE.is_dir() else ():
        run = path.name.removeprefix(PREFIX)
        try:
            if not fullmatch(_NAME, path.name) or path.stat().st_uid != os.getuid():
                continue
            index, folder = _owner(path)
        except OSError:
            continue  # it has gone meanwhile
        if index is None or not any(r.run == run and (r.alive or r.unattended) for r in RunIndex(index).runs()):
            found[run] = folder if folder is not None and folder.is_dir() else None
    return found


def _owner(path: Path) -> tuple[Path | None, Path | None]:
    try:
        value = json.loads((path / OWNER).read_text())
        return Path(value["index"]), Path(value["folder"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None, None

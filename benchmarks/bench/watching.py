"""Runs that are watched for long: what each process takes, the checkpoints, the store and the shared memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nats.errors import Error as NatsError

from bench.processes import PAGE, parse_stat, replicas
from bench.workspace import BENCHMARKS, INTERACTEM
from interactem.engine.arenas import folder_of
from interactem.engine.index import RunIndex, RunRecord
from interactem.engine.plan import Plan
from interactem.runtime import checkpoint
from interactem.runtime.blobs import Reference
from interactem.runtime.connections import Address, Storer, connect

WARM_SECONDS = 120.0
"""What is sampled before is no measure: caches fill, standbys start."""
GROWTH = {"resident": (1.15, 8 * 2**20), "descriptors": (1.0, 8), "threads": (1.0, 2), "intervals": (1.0, 64),
          "bytes": (1.0, 65_536)}  # fmt: skip
"""How much each may be larger at the end: a factor, and something beside it."""
STOP_SECONDS = 5.0
PATIENCE = 10.0
"""Seconds for an answer of the broker."""

Sample = dict[str, float]


# sampling


def processes(root: int) -> dict[int, str]:
    """A process and all below it, each with the name of its program."""
    found: dict[int, tuple[str, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, name, parent = parse_stat(stat.read_text())
            found[pid] = name, parent
    chosen = {root}
    while more := {pid for pid, (_, parent) in found.items() if parent in chosen} - chosen:
        chosen |= more
    return {pid: found[pid][0] for pid in chosen if pid in found}


def sample(pid: int) -> Sample:
    """Raises `OSError` for a process that has ended."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    threads = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    taken: Sample = {"resident": resident, "descriptors": len(os.listdir(f"/proc/{pid}/fd")), "threads": threads}
    return taken


def named(supervisor: int, folder: Path) -> Iterator[tuple[str, int]]:
    """The processes of a run, with names that stay the same when one is replaced by another."""
    events = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    known = {pid: name for name, pid in replicas(events)} | {supervisor: "supervisor"}
    others: dict[str, int] = {}
    for pid, program in sorted(processes(supervisor).items()):
        if pid in known:
            yield known[pid], pid
        elif program == "nats-server":
            yield "broker", pid
        else:
            others[program] = others.get(program, 0) + 1
            yield f"{program} {others[program]}", pid


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, which come and go meanwhile."""
    size = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                size += os.stat(os.path.join(place, name)).st_size
    return size


def used_of(folder: Path) -> int:
    """Bytes that the files below a folder take; a file with holes is larger than that."""
    used = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                used += 512 * os.stat(os.path.join(place, name)).st_blocks
    return used


async def checkpoints(storer: Storer, plan: Plan) -> dict[str, Sample]:
    """Of each replica that has one: its bytes, and how many intervals its applied ids take."""
    names = plan.names
    found: dict[str, Sample] = {}
    stored = await storer.last(names.record_stream, [names.record("*", "*", "checkpoint")])
    for subject, payload in stored.items():
        operator, replica = map(int, subject.split(".")[3:5])
        with suppress(KeyError, ValueError):  # it may be replaced while it is read
            read = await _whole(storer, plan, operator, replica, payload)
            applied = len(checkpoint.decode(read).applied)
            found[f"checkpoint of {plan.operators[operator].key}.{replica}"] = {
                "bytes": len(read),
                "intervals": applied,
            }
    return found


async def _whole(storer: Storer, plan: Plan, operator: int, replica: int, payload: bytes) -> bytes:
    import msgpack

    value = msgpack.unpackb(payload, strict_map_key=False)
    if not isinstance(value, dict) or (reference := Reference.of(value)) is None:
        return payload
    parts = reference.pieces(plan.names, operator, replica)
    return b"".join([await storer.last_one(plan.names.blob_stream, part) for part in parts])


# the run


def start(place: Path, pipeline: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """A run of a pipeline in a new folder, by the command; the run's own folder is `run` in it."""
    place.mkdir(parents=True)
    (place / "operators").symlink_to(BENCHMARKS / "operators")
    (place / "pipeline.json").write_text(json.dumps(pipeline))
    command = [str(INTERACTEM), "pipeline", "run", "pipeline.json", "--run-dir", str(place / "run"), "--json"]
    with (place / "out").open("wb") as out, (place / "err").open("wb") as err:
        return subprocess.Popen(command, cwd=place, stdout=out, stderr=err, stdin=subprocess.DEVNULL)


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a run that goes on: what it has under way stays in its store."""
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


@dataclass
class Watch:
    """Samples a run in `folder` every `period` seconds, and kills a replica every `kill_every` seconds (0: none)."""

    folder: Path
    process: subprocess.Popen[bytes]
    period: float
    kill_every: float = 0.0
    kills: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)

    async def follow(self) -> None:
        """Until the run has ended."""
        record = await self._record()
        plan = Plan.from_value(json.loads((self.folder / "plan.json").read_text()))
        client = await connect(Address(record.url, record.credentials), "watch")
        storer = Storer(client)
        await storer.open()
        begun = time.monotonic()
        kill_at = begun + self.kill_every
        try:
            while self.process.poll() is None:
                present = list(named(self.process.pid, self.folder))
                await self._sample(storer, plan, present, time.monotonic() - begun)
                if self.kill_every and time.monotonic() > kill_at:
                    kill_at += self.kill_every
                    self._kill([pid for name, pid in present if "." in name])
                with suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(self.process.wait, self.period)
        finally:
            with suppress(OSError, NatsError):
                await asyncio.wait_for(client.close(), PATIENCE)

    async def _record(self) -> RunRecord:
        while True:
            for each in RunIndex().runs():
                if each.folder == self.folder and each.url and each.alive:
                    return each
            if self.process.poll() is not None:
                sys.exit(f"the run ended as it began; see {self.folder.parent}/err")
            await asyncio.sleep(0.2)

    async def _sample(self, storer: Storer, plan: Plan, present: Sequence[tuple[str, int]], seconds: float) -> None:
        taken: dict[str, Sample] = {}
        for name, pid in present:
            with suppress(OSError):
                taken[name] = sample(pid)
        with suppress(OSError, NatsError):  # as the run ends, the broker goes; a `TimeoutError` is an `OSError`
            async with asyncio.timeout(PATIENCE):
                taken |= await checkpoints(storer, plan)
        sizes = {"store": size_of(self.folder / "broker"), "shared": used_of(folder_of(plan.run))}
        self.samples.append({"seconds": round(seconds, 1), **sizes, "processes": taken})
        with (self.folder.parent / "samples.jsonl").open("a") as file:
            file.write(json.dumps(self.samples[-1]) + "\n")

    def _kill(self, pids: Sequence[int]) -> None:
        if pids:
            with suppress(ProcessLookupError):
                os.kill(pids[self.kills % len(pids)], signal.SIGKILL)
                self.kills += 1


class Growth(NamedTuple):
    """A figure of a process: the medians of the first and the last quarter after the start."""

    process: str
    figure: str
    first: float
    last: float

    @property
    def grew(self) -> bool:
        factor, more = GROWTH[self.figure]
        return self.last > self.first * factor + more

    def __str__(self) -> str:
        return (
            f"{self.process:24} {self.figure:12} {self.first:14,.0f} {self.last:14,.0f}{'  grew' if self.grew else ''}"
        )


def growths(samples: Sequence[Mapping[str, Any]], warm: float = WARM_SECONDS) -> list[Growth]:
    chosen = [each["processes"] for each in samples if each["seconds"] >= warm]
    found = []
    for name in sorted({name for each in chosen for name in each}):
        for figure in GROWTH:
            values = [each[name][figure] for each in chosen if figure in each.get(name, {})]
            if quarter := len(values) // 4:
                first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
                found.append(Growth(name, figure, first, last))
    return found

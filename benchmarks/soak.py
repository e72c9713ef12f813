"""Runs a pipeline at a steady rate for a long time and tells whether anything grows: `make soak`.

    python benchmarks/soak.py [--minutes N] [--rate N] [--kill-every SECONDS] [--folder FOLDER]

The pipeline has small and large messages, a kernel that fails with some of them, state, and sinks; now and then a
replica is killed. Every ten seconds the memory, descriptors and threads of every process of the run are sampled, and
the checkpoints in the broker, with the number of intervals that their applied ids take. At the end the outputs are
checked, and the medians of an early and of the last quarter are compared. Exit code 0: nothing is lost or doubled, and
nothing has grown.
"""

from __future__ import annotations

import argparse
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import PAGE, parse_stat, replicas
from bench.workspace import BENCHMARKS, INTERACTEM, ROOT
from nats.errors import Error as NatsError

from interactem.engine.index import RunIndex
from interactem.engine.plan import Plan
from interactem.runtime import checkpoint
from interactem.runtime.blobs import Reference
from interactem.runtime.connections import Address, Storer, connect

PERIOD = 10.0
WARM_SECONDS = 120.0
"""What is sampled before is no measure: caches fill, standbys start."""
GROWTH = {"resident": (1.15, 8 * 2**20), "descriptors": (1.0, 8), "threads": (1.0, 2), "intervals": (1.0, 64),
          "bytes": (1.0, 65_536)}  # fmt: skip
"""How much each may be larger at the end: a factor, and something beside it."""

Sample = dict[str, float]


def pipeline(options: argparse.Namespace) -> dict[str, Any]:
    seconds = options.minutes * 60
    source = {"rate": options.rate, "seconds": seconds, "large_every": options.large_every}
    return {
        "name": "soak",
        "operators": {
            "source": {"operator": "steady-source", "parameters": source},
            "unsteady": {"operator": "unsteady", "replicas": 2},
            "sum": {"operator": "running-sum"},
            "total": {"operator": "count-off", "parameters": {"file": "total.json"}},
            "sink": {"operator": "count-off"},
        },
        "edges": [
            {"from": "source.out", "to": "unsteady.in"},
            {"from": "unsteady.out", "to": "sum.in"},
            {"from": "unsteady.out", "to": "sink.in"},
            {"from": "sum.total", "to": "total.in"},
        ],
    }


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
            found[f"{plan.operators[operator].key}.{replica}"] = {"bytes": len(read), "intervals": applied}
    return found


async def _whole(storer: Storer, plan: Plan, operator: int, replica: int, payload: bytes) -> bytes:
    import msgpack

    value = msgpack.unpackb(payload, strict_map_key=False)
    if not isinstance(value, dict) or (reference := Reference.of(value)) is None:
        return payload
    parts = reference.pieces(plan.names, operator, replica)
    return b"".join([await storer.last_one(plan.names.blob_stream, part) for part in parts])


# the run


@dataclass
class Soak:
    folder: Path
    options: argparse.Namespace
    process: subprocess.Popen[bytes]
    kills: int = 0

    def __post_init__(self) -> None:
        self.samples: list[dict[str, Any]] = []
        self._begun = time.monotonic()
        self._kill_at = self._begun + self.options.kill_every

    async def follow(self) -> None:
        while not (self.folder / "plan.json").is_file() or not self._record():
            self._check()
            await asyncio.sleep(0.2)
        record = self._record()
        plan = Plan.from_value(json.loads((self.folder / "plan.json").read_text()))
        client = await connect(Address(record.url, record.credentials), "soak")
        storer = Storer(client)
        await storer.open()
        try:
            while self.process.poll() is None:
                await self._once(storer, plan)
                with suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(self.process.wait, PERIOD)
        finally:
            await client.close()

    def _record(self) -> Any:
        found = (each for each in RunIndex().runs() if each.folder == self.folder and each.url and each.alive)
        return next(found, None)

    def _check(self) -> None:
        if self.process.poll() is not None:
            sys.exit(f"the run ended as it began; see {self.folder.parent}/err")

    async def _once(self, storer: Storer, plan: Plan) -> None:
        taken: dict[str, Sample] = {}
        present = list(named(self.process.pid, self.folder))
        for name, pid in present:
            with suppress(OSError):
                taken[name] = sample(pid)
        with suppress(OSError, NatsError):  # as the run ends, the broker goes
            for name, value in (await checkpoints(storer, plan)).items():
                taken[f"checkpoint of {name}"] = value
        now = time.monotonic()
        store = size_of(self.folder / "broker")
        self.samples.append({"seconds": round(now - self._begun, 1), "store": store, "processes": taken})
        with (self.folder.parent / "samples.jsonl").open("a") as file:
            file.write(json.dumps(self.samples[-1]) + "\n")
        if self.options.kill_every and now > self._kill_at:
            self._kill_at = now + self.options.kill_every
            self._kill([pid for name, pid in present if "." in name])

    def _kill(self, pids: Sequence[int]) -> None:
        if pids:
            with suppress(ProcessLookupError):
                os.kill(pids[self.kills % len(pids)], signal.SIGKILL)
                self.kills += 1


def grown(samples: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, float, float, bool]]:
    """For each process and figure: the medians of the first and last quarter after the start, and whether it grew."""
    rows = []
    warm = [each["processes"] for each in samples if each["seconds"] >= WARM_SECONDS] or [
        s["processes"] for s in samples
    ]
    for name in sorted({name for each in warm for name in each}):
        for figure in GROWTH:
            values = [each[name][figure] for each in warm if name in each and figure in each[name]]
            if len(values) < 4:
                continue
            quarter = len(values) // 4
            first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
            factor, more = GROWTH[figure]
            rows.append((name, figure, first, last, last > first * factor + more))
    return rows


def check_outputs(options: argparse.Namespace, folder: Path) -> list[str]:
    """What is wrong with what came out."""
    count = int(options.rate * options.minutes * 60)
    always = 100003
    dead = len(range(always - 1, count, always))
    expected = {"count": count - dead, "sum": sum(range(count)) - sum(range(always - 1, count, always))}
    wrong = []
    for name in ("count.json", "total.json"):
        found = json.loads((folder / "outputs" / name).read_text())
        if {key: found.get(key) for key in expected} != expected:
            wrong.append(f"{name} has {found}, and should have {expected}")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1000, help="messages a second")
    parser.add_argument("--large-every", type=int, default=500, help="each so many messages one of 1 MB; 0: none")
    parser.add_argument("--kill-every", type=float, default=60, help="seconds; 0: nobody is killed")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / f"soak-{time.strftime('%Y%m%d-%H%M%S')}")
    options = parser.parse_args(arguments)
    place = options.folder.absolute()
    place.mkdir(parents=True)
    (place / "operators").symlink_to(BENCHMARKS / "operators")
    (place / "pipeline.json").write_text(json.dumps(pipeline(options)))
    command = [str(INTERACTEM), "pipeline", "run", "pipeline.json", "--run-dir", str(place / "run"), "--json"]
    with (place / "out").open("wb") as out, (place / "err").open("wb") as err:
        process = subprocess.Popen(command, cwd=place, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
    soak = Soak(place / "run", options, process)
    try:
        asyncio.run(soak.follow())
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return report(soak)


def report(soak: Soak) -> int:
    rows = grown(soak.samples)
    for name, figure, first, last, more in rows:
        print(f"{name:24} {figure:12} {first:14,.0f} {last:14,.0f}{'  grew' if more else ''}")  # noqa: T201
    wrong = [f"the run ended with {soak.process.returncode}"] if soak.process.returncode else []
    wrong += check_outputs(soak.options, soak.folder) if not wrong else []
    wrong += [
        f"{name}: {figure} grew from {first:,.0f} to {last:,.0f}" for name, figure, first, last, more in rows if more
    ]
    stores = [each["store"] for each in soak.samples]
    print(f"kills {soak.kills}, store at most {max(stores, default=0):,} bytes, wrong {len(wrong)}", *wrong, sep="\n")  # noqa: T201
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

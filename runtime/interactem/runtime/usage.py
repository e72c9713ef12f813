"""What this process uses of its machine."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_PAGE = resource.getpagesize()
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu` seconds of all its threads since it started, and the bytes of memory that it holds now and held at most.

    These include what it shares with others, such as pages of shared memory that it has touched. `memory` is None where
    the system does not tell (macOS).
    """

    cpu: float
    memory: int | None
    peak_memory: int


def usage() -> Usage:
    try:
        memory = int(_STATM.read_bytes().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        memory = None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Usage(time.process_time(), memory, peak)

"""Commands that end when we end, however that comes about."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from interactem.runtime import tether

SCRIPT = Path(tether.__file__)

PARENT = "INTERACTEM_PARENT"
"""The environment variable that tells a replica whom to die with."""


def tethered(command: Sequence[str], *, parent: int | None = None) -> tuple[str, ...]:
    """The command line of `command` such that it dies with the process `parent`, which must start it itself.

    The first word of `command` is the path of a program. On Linux the process keeps its id as it becomes the command.
    Elsewhere its standard input must be a pipe that only `parent` writes to.
    """
    return (sys.executable, "-I", "-S", str(SCRIPT), str(parent or os.getpid()), *command)

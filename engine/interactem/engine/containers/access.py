"""Whether containers can use what is mounted into them: where the supervisor is root, they run as somebody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from interactem.engine.containers.arguments import RunsAs
from interactem.engine.plan import Plan

_READ, _WRITE, _ENTER = 4, 2, 1


def remarks(plan: Plan, user: RunsAs) -> list[tuple[str, str]]:
    """By the operator's name in the pipeline, what its containers most likely cannot use. Access lists are not seen."""
    found: list[tuple[str, str]] = []
    for operator in plan.operators:
        for name, target in operator.mounts.items():
            verb = _refused(Path(target), user, writable=name in operator.writable)
            if verb:
                who = f"user {user.outside}, which containers run as where the supervisor is root"
                text = f"{name}: {target} cannot be {verb} by {who}; give it the right, or start the run as yourself"
                found.append((operator.key, text))
    return found


def _refused(path: Path, user: RunsAs, *, writable: bool) -> str:
    try:
        about = path.stat()
    except OSError:
        return ""  # the engine will say so
    needed = _READ | (_ENTER if stat.S_ISDIR(about.st_mode) else 0)
    if not _may(about, user, needed):
        return "read"
    return "written to" if writable and not _may(about, user, _WRITE) else ""


def _may(about: os.stat_result, user: RunsAs, needed: int) -> bool:
    if about.st_uid == user.outside:
        granted = about.st_mode >> 6
    elif about.st_gid == user.group:
        granted = about.st_mode >> 3
    else:
        granted = about.st_mode
    return granted & needed == needed

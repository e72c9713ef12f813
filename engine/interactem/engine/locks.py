"""The lock: the one version of each package that the runtime needs, wherever a replica runs.

It covers every Python and platform that we support, so that an image and a process of this machine compute with the
same numpy. `make lock` brings it up to date.
"""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

LOCK = Path(str(files("interactem.engine") / "locked.txt"))

_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", re.M)


def locked_versions(lock: Path = LOCK) -> dict[str, str]:
    """The versions in the lock, by the packages' names."""
    return dict(_PINNED.findall(lock.read_text(encoding="utf-8")))


def lock_fingerprint(lock: Path = LOCK) -> str:
    return hashlib.blake2b(lock.read_bytes(), digest_size=16).hexdigest()

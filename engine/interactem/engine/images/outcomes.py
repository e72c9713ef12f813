"""What becomes of images, and how whoever watches is told."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from interactem.engine.images.builders import EngineImage
from interactem.engine.images.errors import BuildError

State = Literal["building", "pushing", "pulling", "built", "unchanged", "failed", "skipped", "pushed", "pulled"]

SHOWN_LINES = 12
SHOWN_CHARACTERS = 240
"""How much of what a failing command said is shown: its last lines, and of a long one both ends."""


def shown(lines: Iterable[str]) -> list[str]:
    half = SHOWN_CHARACTERS // 2
    last = [line for line in lines if line.strip()][-SHOWN_LINES:]
    return [line if len(line) <= SHOWN_CHARACTERS else f"{line[:half]} ... {line[-half:]}" for line in last]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image. `reason` says why it was built, failed or was skipped."""

    name: str
    image: str
    kind: str
    state: State
    seconds: float = 0.0
    id: str = ""
    digest: str = ""
    size: int = 0
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.state not in ("failed", "skipped")

    def lasting(self, seconds: float) -> Outcome:
        return replace(self, seconds=seconds)

    def of(self, image: EngineImage) -> Outcome:
        """With what the engine knows of the image."""
        return replace(self, id=image.id, digest=image.digest, size=image.size)

    def to_value(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "image": self.image,
            "state": self.state,
            "seconds": round(self.seconds, 3),
            "size": self.size,
            "id": self.id,
            "digest": self.digest,
            "reason": self.reason,
        }


Observe = Callable[[str, State, str], None]
"""Is told a target's name, what is being done to it, and the step of that, from any thread."""


def ignore(name: str, state: State, step: str) -> None:
    """Observes nothing."""


def described(error: Exception) -> str:
    """An error in words, for an outcome that has the image's name already."""
    if isinstance(error, BuildError):
        return str(error).removeprefix(f"{error.name}: ")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or "the folder for temporary files"
        return f"{where}: the disk is full; make room, or name a folder with room in TMPDIR"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)

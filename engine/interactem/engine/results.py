"""What has become of a run, as its summary tells it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interactem.engine.folders import RunFolder


@dataclass(frozen=True, slots=True)
class RunResult:
    """What has become of a run; `operators` has the numbers of each by its name in the pipeline.

    docs/observability.md says what they are.
    """

    run: str
    name: str
    state: str
    seconds: float
    folder: str
    operators: dict[str, dict[str, Any]]
    outputs: list[str]
    dead: int = 0
    reason: str = ""

    def to_value(self) -> dict[str, Any]:
        return asdict(self)


def collect(path: Path) -> RunResult | None:
    """What a run has left behind; None for one that has not ended, or was killed. Raises `RunFolderError`."""
    summary = RunFolder.open(path).read_summary()
    if summary is None:
        return None
    return RunResult(**{name: value for name, value in summary.items() if name != "version"})

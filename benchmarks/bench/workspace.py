"""Where measurements take place: a folder on the disk that runs use, and the pipelines that are run in it."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bench import programs
from bench.environment import Environment
from bench.programs import Finished, ProgramError, last_lines
from interactem.engine.index import RunIndex

BENCHMARKS = Path(__file__).resolve().parents[1]
ROOT = BENCHMARKS.parent
INTERACTEM = Path(sys.executable).parent / "interactem"
ELSEWHERE = Environment(ROOT / ".venv-references", BENCHMARKS / "references" / "locked.txt")

Watch = Callable[[int, Path], None]
"""Is called with the id of the run's supervisor and the run's folder, again and again while it runs."""


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A run that has completed. `outputs` has what its sinks wrote, as text by the files' names."""

    summary: Mapping[str, Any]
    outputs: Mapping[str, str]
    finished: Finished


class Workspace:
    """The folder. Short measurements say whether everything works, not how fast it is."""

    def __init__(self, folder: Path, *, short: bool) -> None:
        self.short = short
        self._folder = folder
        self._numbers = count()
        operators = folder / "operators"
        operators.mkdir()
        (operators / "project").symlink_to(ROOT / "operators")
        (operators / "benchmarks").symlink_to(BENCHMARKS / "operators")

    def size(self, full: int, short: int) -> int:
        return short if self.short else full

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder for one measurement, gone afterwards."""
        path = self._folder / str(next(self._numbers))
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def file(self, name: str, make: Callable[[Path], None]) -> Path:
        """A file for several measurements, made when it is first asked for and gone with the workspace."""
        path = self._folder / name
        if not path.exists():
            make(path)
        return path

    def run_pipeline(
        self,
        pipeline: Mapping[str, Any],
        *,
        limit: float,
        watch: Watch = lambda pid, folder: None,
        options: Sequence[str] = (),
    ) -> PipelineRun:
        """Run a pipeline as its users do, with the command. Raises `ProgramError`."""
        with self.folder() as folder:
            file, run_dir = folder / "pipeline.json", folder / "run"
            file.write_text(json.dumps(pipeline))
            command = [str(INTERACTEM), "pipeline", "run", str(file), "--run-dir", str(run_dir), "--json", *options]
            try:
                finished = programs.run(command, folder=folder, limit=limit, watch=lambda pid: watch(pid, run_dir))
            except ProgramError as error:
                raise _why(error) from None
            summary = json.loads(finished.out)
            RunIndex().remove(summary["run"])  # its folder goes too
            outputs = {path.name: path.read_text() for path in (run_dir / "outputs").iterdir()}
            return PipelineRun(summary, outputs, finished)

    def run_reference(
        self, name: str, *arguments: str, limit: float, elsewhere: bool = False
    ) -> tuple[dict[str, Any], Finished]:
        """Run a program of `references/`, which is given a folder and ends with a line of JSON.

        `elsewhere`: in the environment that has the packages which interactem does not need. Raises `ProgramError`.
        """
        python = str(ELSEWHERE.python()) if elsewhere else sys.executable
        with self.folder() as folder:
            command = [python, str(BENCHMARKS / "references" / name), "--folder", str(folder), *arguments]
            finished = programs.run(command, folder=folder, limit=limit)
            return json.loads(finished.out.strip().splitlines()[-1]), finished


def _why(error: ProgramError) -> ProgramError:
    """A run that failed says why in its summary, if it came to write one."""
    try:
        words = str(json.loads(error.out)["reason"])
    except (ValueError, KeyError):
        return error
    return ProgramError(error.command, error.reason, last_lines(words), error.out)


@contextmanager
def workspace(parent: Path, *, short: bool) -> Iterator[Workspace]:
    """A workspace in `parent`, gone afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=parent) as folder:
        yield Workspace(Path(folder), short=short)

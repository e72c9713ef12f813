"""`interactem operator run`: which of its three forms is meant, and that their options are not mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interactem.cli.failures import InvalidError


@dataclass(frozen=True, slots=True)
class LifecycleRun:
    """`--init-data` and `--run-data`."""

    init_data: str | None
    run_data: tuple[str, ...]
    port: str | None
    parameters: tuple[str, ...]
    outputs: Path
    as_json: bool


@dataclass(frozen=True, slots=True)
class FileRun:
    """`--input` and `--output`."""

    input: Path
    output: Path
    follow: bool
    workers: int
    init_data: str | None
    port: str | None
    parameters: tuple[str, ...]
    outputs: Path
    as_json: bool


def check_form(form: str, others: Mapping[str, bool]) -> None:
    """Raises `InvalidError` where options were given that belong to another form."""
    given = [option for option, there in others.items() if there]
    if given:
        raise InvalidError(f"{', '.join(given)} cannot go with {form}: see interactem operator run --help")


def run_lifecycle(folder: Path, asked: LifecycleRun) -> None:
    """Becomes the operator's process. Raises `InvalidError` before that."""
    from interactem.cli.lifecycles import become, request_of
    from interactem.cli.rundata import read_data

    request = request_of(
        folder,
        init_data={} if asked.init_data is None else read_data(asked.init_data, "--init-data"),
        parameters=asked.parameters,
        outputs=asked.outputs,
        port=asked.port,
    )
    runs = _each(asked.run_data)
    become(folder, "running", {**request, "run_data": runs, "json": asked.as_json})


def run_file(folder: Path, asked: FileRun) -> None:
    """Becomes the process that gives the tasks out. Raises `InvalidError` before that."""
    import os

    from interactem.cli.lifecycles import become, request_of
    from interactem.cli.rundata import read_data

    request = request_of(
        folder,
        init_data={} if asked.init_data is None else read_data(asked.init_data, "--init-data"),
        parameters=asked.parameters,
        outputs=asked.outputs,
        port=asked.port,
    )
    channel = {
        "input": str(asked.input),
        "output": str(asked.output),
        "follow": asked.follow,
        "workers": asked.workers,
        "rank": os.environ.get("SDRUN_RANK"),
        "world": os.environ.get("SDRUN_WORLD_SIZE"),
        "json": asked.as_json,
    }
    become(folder, "tasks.channel", {**request, "channel": channel})


def _each(given: Sequence[str]) -> list[object]:
    from interactem.cli.rundata import read_data

    return [read_data(one, "--run-data") for one in given] or [{}]

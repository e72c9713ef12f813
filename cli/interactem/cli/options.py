"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from interactem.cli.completion import run_ids, working_run_ids

RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="The run's id, the beginning of it, its folder, or: last.", autocompletion=run_ids
    ),
]
WorkingRunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="The run's id, the beginning of it, its folder, or: last.", autocompletion=working_run_ids
    ),
]
Broker = Annotated[
    str | None, typer.Option(metavar="URL", help="An existing NATS server with JetStream.  [default: the run's own]")
]
AllowDead = Annotated[bool, typer.Option("--allow-dead", help="Exit with 0 also where messages became dead letters.")]
PathMapping = Annotated[
    str | None,
    typer.Option(
        "--path-mapping-rules",
        metavar="RULES",
        help="Where files lie here that were named on another machine: JSON, or file://PATH of a file with it.",
    ),
]

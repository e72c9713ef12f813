"""`interactem operator daemon start|run|stop`: an operator that stays loaded from one command to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interactem.cli import completion
from interactem.cli.options import PathMapping

app = typer.Typer(
    help="Keep an operator loaded, and run it as often as wanted.\n\n"
    "Example:\n\n"
    "interactem operator daemon start render --connection-file r.json\n\n"
    "interactem operator daemon run --connection-file r.json --run-data '{\"frame\": 1}'\n\n"
    "interactem operator daemon stop --connection-file r.json",
    no_args_is_help=True,
)

InitData = Annotated[
    str | None,
    typer.Option("--init-data", metavar="DATA", help="What it is started with: JSON or YAML, a dict, or file://PATH."),
]
RunData = Annotated[
    list[str] | None,
    typer.Option(
        "--run-data", metavar="DATA", help="A run's data: JSON or YAML, a dict, or file://PATH; repeat for more runs."
    ),
]
ConnectionFile = Annotated[
    Path, typer.Option("--connection-file", metavar="FILE", help="The file by which commands find the daemon.")
]


@app.command("start")
def start(
    operator: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="The operator's folder, or its name.", autocompletion=completion.operators_and_paths
        ),
    ],
    connection_file: ConnectionFile,
    init_data: InitData = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("-p", "--param", metavar="NAME=VALUE", help="A parameter's value; repeat for more."),
    ] = None,
    port: Annotated[str | None, typer.Option(help="The input port, where there are several.")] = None,
    outputs: Annotated[Path, typer.Option(help="The folder for the files that a sink writes.")] = Path("outputs"),
    idle_timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=1e9, metavar="SECONDS", help="Stop it when nobody has run it for so long.  [default: never]"
        ),
    ] = None,
    path_mapping: PathMapping = None,
) -> int:
    """Start an operator and leave it loaded. Returns once it has started; one that fails leaves nothing behind."""
    from interactem.cli.daemon_start import start_daemon
    from interactem.cli.lifecycles import request_of
    from interactem.cli.lookups import find_folder
    from interactem.cli.path_rules import hand_on
    from interactem.cli.rundata import read_data

    hand_on(path_mapping)
    folder = find_folder(operator)
    request = request_of(
        folder,
        init_data={} if init_data is None else read_data(init_data, "--init-data"),
        parameters=parameters or (),
        outputs=outputs.resolve(),
        port=port,
    )
    return start_daemon(folder, connection_file, {**request, "idle_timeout": idle_timeout})


@app.command("run")
def run(connection_file: ConnectionFile, run_data: RunData = None) -> int:
    """Run the operator once with each --run-data. The exit code is that run's own; Ctrl-C cancels it."""
    from interactem.cli.daemon_client import run_each

    return run_each(str(connection_file), run_data or ["{}"])


@app.command("stop")
def stop(connection_file: ConnectionFile) -> int:
    """Stop the operator, when the runs before have ended, and let it clean up."""
    from interactem.cli.daemon_client import stop_daemon

    return stop_daemon(str(connection_file))

"""`interactem`: the entry point, and the one place where errors become messages and exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage or invalid input, 130 interrupted. Only modules that `--help` needs are
imported here; commands import what they need when they run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from interactem.cli import doctor, operators, pipelines, supervise
from interactem.cli.failures import INTERRUPTED, Failure, translate
from interactem.cli.output import print_failure

app = typer.Typer(
    name="interactem",
    help="Chain operators into live data pipelines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.add_typer(operators.app, name="operator")
app.add_typer(pipelines.app, name="pipeline")
app.command("supervise", context_settings={"allow_interspersed_args": False})(supervise.supervise)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"interactem {version('interactem')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line. Returns its exit code; what users can cause is reported, everything else is raised."""
    as_json = "--json" in arguments
    try:
        result = app(args=list(arguments), prog_name="interactem", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (typer.Abort, KeyboardInterrupt):
        failure = Failure(INTERRUPTED, "interrupted")
    except BrokenPipeError:
        return _reader_left()
    except typer.TyperException as error:
        error.message = error.message.removeprefix("Value error, ")  # pydantic's word, which says nothing to a user
        if not as_json:
            error.show()  # type: ignore[attr-defined]  # every error that typer raises shows itself
            return error.exit_code
        failure = Failure(error.exit_code, error.format_message())
    except Exception as error:
        known = translate(error)
        if known is None:
            raise
        failure = known
    print_failure(failure, as_json=as_json)
    return failure.exit_code


def _reader_left() -> int:
    """Whoever read our output has enough of it, such as `head`: no error of ours, but not all was said either."""
    import os

    # Python would complain when it flushes standard output at its end
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1

"""`interactem pipeline dead …`: the messages that failed their last attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from interactem.cli.failures import InvalidError
from interactem.cli.options import AllowDead, Broker, RunId
from interactem.cli.output import AsJson

if TYPE_CHECKING:
    from interactem.engine.letters import Choice

app = typer.Typer(
    help="Messages that failed their last attempt: look at them, try them again, drop them.", no_args_is_help=True
)

LetterIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of dead letters.  [default: all]")]
OfOperator = Annotated[str | None, typer.Option("--operator", help="Only those of this operator.")]
OfPort = Annotated[str | None, typer.Option("--port", help="Only those that came to this input port.")]
WithError = Annotated[str | None, typer.Option("--error", metavar="TEXT", help="Only those with this in their error.")]
_TIME = "a time such as 2026-01-31T17:45, or how long ago, such as 10m, 2h, 1d"
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help=f"Only later ones: {_TIME}.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only earlier ones.")]


def _choice(
    ids: list[str] | None,
    operator: str | None,
    port: str | None,
    error: str | None,
    since: str | None,
    until: str | None,
) -> Choice:
    from interactem.cli.letters import parse_time
    from interactem.engine.letters import Choice

    return Choice(tuple(ids or ()), operator, port, error, parse_time(since), parse_time(until))


@app.command("ls")
def ls(
    run_id: RunId,
    operator: OfOperator = None,
    port: OfPort = None,
    error: WithError = None,
    since: Since = None,
    until: Until = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """List the dead letters of a run, the oldest first."""
    from interactem.cli import letters
    from interactem.cli.following import find_run

    choice = _choice(None, operator, port, error, since, until)
    letters.print_list(letters.read(find_run(run_id), choice, broker=broker), as_json=as_json)


@app.command("show")
def show(
    run_id: RunId,
    ids: LetterIds = None,
    operator: OfOperator = None,
    port: OfPort = None,
    error: WithError = None,
    since: Since = None,
    until: Until = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Show dead letters with their errors and tracebacks."""
    from interactem.cli import letters
    from interactem.cli.following import find_run

    choice = _choice(ids, operator, port, error, since, until)
    letters.print_whole(letters.read(find_run(run_id), choice, broker=broker), as_json=as_json)


@app.command("retry")
def retry(
    run_id: RunId,
    ids: LetterIds = None,
    operator: OfOperator = None,
    port: OfPort = None,
    error: WithError = None,
    since: Since = None,
    until: Until = None,
    broker: Broker = None,
    allow_dead: AllowDead = False,
    as_json: AsJson = False,
) -> int:
    """Send dead letters to their operators once more. A run that has ended goes on until they are worked off."""
    from interactem.cli import letters, running
    from interactem.cli.following import find_run
    from interactem.cli.output import counted, print_json, say

    record = find_run(run_id)
    sent, resumed = letters.retry(record, _choice(ids, operator, port, error, since, until), broker=broker)
    if resumed:
        return running.resume(
            record.folder,
            broker=broker,
            detached=False,
            seconds=None,
            allow_dead=allow_dead,
            as_json=as_json,
            again=True,
        )
    if as_json:
        print_json({"retried": sent})
    else:
        say(f"{counted(len(sent), 'dead letter')} sent again")
    return 0


@app.command("drop")
def drop(
    run_id: RunId,
    ids: LetterIds = None,
    operator: OfOperator = None,
    port: OfPort = None,
    error: WithError = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good. What was in them is lost then."""
    from interactem.cli import letters
    from interactem.cli.following import find_run
    from interactem.cli.output import counted, print_json, say

    choice = _choice(ids, operator, port, error, since, until)
    if choice.all != everything:
        raise InvalidError("say which dead letters: by their ids, by --operator, --port and so on, or --all of them")
    dropped = letters.drop(find_run(run_id), choice, broker=broker)
    if as_json:
        print_json({"dropped": dropped})
    else:
        say(f"{counted(len(dropped), 'dead letter')} dropped")

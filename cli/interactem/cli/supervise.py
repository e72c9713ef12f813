"""`interactem supervise`: N equal processes of one command."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import typer

Reaction = Literal["ignore", "shutdown"]


def _restarts(text: str) -> str:
    from interactem.engine.workers import parse_restart

    try:
        parse_restart(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise typer.BadParameter("give a number of seconds")
    return seconds


def supervise(
    command: Annotated[list[str], typer.Argument(help="The command of every worker, after --.", metavar="COMMAND...")],
    workers: Annotated[int, typer.Option("-w", "--worker", min=1, help="How many workers.")] = 1,
    restart: Annotated[
        str,
        typer.Option(
            metavar="never|always|N", callback=_restarts, help="How often a worker that fails is started again."
        ),
    ] = "never",
    success_exit: Annotated[Reaction, typer.Option(help="What a worker that succeeds does to the others.")] = "ignore",
    failure_exit: Annotated[
        Reaction, typer.Option(help="What a worker does to the others that has failed for the last time.")
    ] = "ignore",
    startup_stagger: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", callback=_finite, help="Time from one worker's start to the next."),
    ] = 0.0,
) -> int:
    """Run a command in several equal processes, and start those again that fail.

    Each line begins with its worker, which start of it this is, and the stream. Signals go to all workers, and the
    exit code is the sum of theirs, 255 at most.
    """
    import asyncio

    from interactem.engine.workers import Policy, parse_restart
    from interactem.engine.workers import supervise as run

    policy = Policy(workers, parse_restart(restart), success_exit, failure_exit, startup_stagger)
    return asyncio.run(run(command, policy))

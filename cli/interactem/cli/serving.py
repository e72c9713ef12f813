"""Options and code of the commands that serve a run's metrics."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from interactem.cli.failures import InvalidError

if TYPE_CHECKING:
    from interactem.engine.decisions import State
    from interactem.engine.metrics import MetricsServer
    from interactem.engine.progress import OperatorProgress
    from interactem.engine.supervisor import Observer

    Served = MetricsServer | None

MetricsPort = Annotated[
    int | None,
    typer.Option(
        metavar="PORT", min=0, max=65_535, help="Serve metrics for Prometheus at /metrics on this port; 0: a free one."
    ),
]
MetricsHost = Annotated[
    str | None, typer.Option(metavar="HOST", help="The address to serve them at.  [default: 127.0.0.1]")
]


def serving(port: int | None, host: str | None) -> AbstractContextManager[Served]:
    """Answers from now on, before anything starts. Raises `MetricsError` and `InvalidError`."""
    if port is None:
        if host is not None:
            raise InvalidError("--metrics-host says where metrics are served: give --metrics-port PORT with it")
        return nullcontext()
    from interactem.engine.metrics import LOOPBACK, MetricsServer

    return MetricsServer(port, host or LOOPBACK)


def both(first: Observer, second: Observer) -> Observer:
    """An observer that tells two."""

    def observe(state: State, rows: list[OperatorProgress]) -> None:
        first(state, rows)
        second(state, rows)

    return observe

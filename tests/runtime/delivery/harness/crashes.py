"""Replicas that die at a chosen step."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

from interactem.runtime.transports.nats import NatsTransport


class Crash(BaseException):
    """The process dies here."""


class Aborted(ConnectionAbortedError):
    """The process died while something was stored or settled."""


def crash_at(step: int, *, before: bool) -> tuple[Callable[[Any], None], threading.Event]:
    """Make a transport crash at its `step`-th storing or settling, `before` it or just after. The event says it did."""
    count = itertools.count()
    crashed = threading.Event()

    def crash_if(now: bool) -> None:
        if now:
            crashed.set()
        if crashed.is_set():
            raise Aborted

    def stepping(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> None:
            now = next(count) == step
            crash_if(now and before)
            original(*arguments)
            crash_if(now)

        return run

    def stepping_async(original: Callable[..., Any], transport: Any) -> Callable[..., Any]:
        async def run(*arguments: Any) -> None:
            now = next(count) == step
            crash_if(now and before)
            await original(*arguments)
            if now:
                await transport._client.flush()
            crash_if(now)

        return run

    def prepare(transport: Any) -> None:
        for name in ("_store", "_settle"):
            original = getattr(transport, name)
            is_async = isinstance(transport, NatsTransport)
            setattr(transport, name, stepping_async(original, transport) if is_async else stepping(original))

    return prepare, crashed

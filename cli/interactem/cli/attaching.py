"""`interactem pipeline attach`: a run that goes on elsewhere, followed from here; with a new supervisor if need be."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgpack
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from interactem.cli.failures import INTERRUPTED, FailedError, InvalidError
from interactem.cli.following import FOLLOW_SECONDS, NewLines, state_of
from interactem.cli.output import print_json, say
from interactem.cli.running import Screen, exit_code
from interactem.engine import collect, detached
from interactem.engine.errors import EngineError
from interactem.engine.index import ENDED, RunIndex, RunRecord
from interactem.engine.summaries import row_of
from interactem.engine.visiting import connected
from interactem.runtime.errors import SettingsError, TransportError


def attach(record: RunRecord, *, detach: bool, allow_dead: bool, as_json: bool) -> int:
    """Returns the exit code of the run, once it has ended; with `detach` at once."""
    if record.interrupted:
        words = f"run {record.run} was interrupted; go on with it: interactem pipeline resume {record.run}"
        raise InvalidError(words)
    if record.state in ENDED:
        if not as_json:
            say(f"run {record.run} has ended")
        return _end(record, Screen(quiet=as_json), allow_dead)
    taken_over = record.unattended
    if taken_over:
        record = detached.attach(record)
    if detach:
        return _tell(record, taken_over, as_json)
    if not as_json:
        what = "has a new supervisor" if taken_over else "is running"
        say(f"run {record.run} of {record.name} {what}; Ctrl-C leaves it to itself")
    screen = Screen(quiet=as_json)
    try:
        asyncio.run(_follow(record, screen))
    except KeyboardInterrupt:
        say(f"run {record.run} goes on; end it with: interactem pipeline stop {record.run}", stderr=True)
        return INTERRUPTED
    return _end(RunIndex().find(record.run), screen, allow_dead)


def _tell(record: RunRecord, taken_over: bool, as_json: bool) -> int:
    if as_json:
        value = {"run": record.run, "state": record.state, "folder": str(record.folder), "taken_over": taken_over}
        print_json(value)
    else:
        say(f"run {record.run} has a new supervisor" if taken_over else f"run {record.run} has its supervisor")
    return 0


async def _follow(record: RunRecord, screen: Screen) -> None:
    """Show what its replicas print and how far it is, until it has ended or has no supervisor any more."""
    lines = NewLines(record.folder / "logs")
    lines.pass_over()
    with screen.showing():
        watching = asyncio.create_task(_watch(record, screen))
        try:
            while record.alive:
                screen.log(lines.prefixed())
                await asyncio.sleep(FOLLOW_SECONDS)
                record = RunIndex().find(record.run)
            screen.log(lines.prefixed())
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _watch(record: RunRecord, screen: Screen) -> None:
    """Show the numbers that its supervisor tells. Whoever cannot be heard is followed by its logs alone."""

    async def show(message: Msg) -> None:
        told = msgpack.unpackb(message.data)
        screen.observe(told["state"], [row_of(name, numbers) for name, numbers in told["operators"].items()])

    with suppress(EngineError, TransportError, SettingsError, NatsError, OSError):  # it may have ended just now
        async with connected(record) as (plan, storer):
            await storer.client.subscribe(plan.names.numbers, cb=show)
            await asyncio.Event().wait()


def _end(record: RunRecord, screen: Screen, allow_dead: bool) -> int:
    result = collect(record.folder) if record.state in ENDED else None
    if result is None:
        again = "attach" if record.unattended else "resume"
        words = f"run {record.run} has lost its supervisor; go on with: interactem pipeline {again} {record.run}"
        raise FailedError(words, details={"run": record.run, "state": state_of(record)})
    screen.end(result)
    return exit_code(result, screen, allow_dead)

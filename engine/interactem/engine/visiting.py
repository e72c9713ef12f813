"""What a run has in its broker, for those who do not run it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from nats.aio.client import Client

from interactem.engine.errors import RunFolderError
from interactem.engine.external_brokers import CHECK_SECONDS, NO_STORE, address_of, was_external
from interactem.engine.folders import RunFolder
from interactem.engine.index import RunIndex, RunRecord, remove_secrets, secrets_folder
from interactem.engine.own_broker import start_own_broker
from interactem.engine.plan import Plan
from interactem.engine.preparing import read_plan
from interactem.engine.results import collect
from interactem.runtime.connections import Address, Storer, connect
from interactem.runtime.errors import SettingsError, TransportError

LOOK_SECONDS = 0.05
START_SECONDS = 30.0


@asynccontextmanager
async def connected(record: RunRecord, broker: str | None = None) -> AsyncIterator[tuple[Plan, Storer]]:
    """A way to what a run has in its broker; of one that does not run, its broker is started for the while.

    `broker` is the address of the server, if it was not the run's own. Raises `RunFolderError` where nothing of it
    is left.
    """
    folder = RunFolder.open(record.folder)
    plan = read_plan(folder.plan)
    async with AsyncExitStack() as stack:
        client = await _visit(record)
        if client is None:
            stack.enter_context(folder.held())
            stack.callback(remove_secrets, plan.run)
            address = await _awakened(plan, folder, broker, stack)
            client = await connect(address, _name(plan.run), patience=CHECK_SECONDS)
        stack.push_async_callback(client.close)
        storer = Storer(client)
        await storer.open()
        yield plan, storer


async def _visit(record: RunRecord) -> Client | None:
    """A client of the broker of a run that goes on; None where it does not, or has ended in the meantime.

    A run that has lost its broker with its keeper has another one, elsewhere, a little later. Raises `TransportError`,
    and `SettingsError`, where there is none.
    """
    until = asyncio.get_running_loop().time() + START_SECONDS
    while (record := await _with_broker(record)).alive or (record.unattended and record.url):
        try:
            return await connect(Address(record.url, record.credentials), _name(record.run), patience=CHECK_SECONDS)
        except (TransportError, SettingsError):  # the credentials go with the broker
            if not record.alive or asyncio.get_running_loop().time() > until:
                raise
        await asyncio.sleep(LOOK_SECONDS)
        record = RunIndex().find(record.run)
    return None


def _name(run: str) -> str:
    return f"{run} visitor"


async def _with_broker(record: RunRecord) -> RunRecord:
    """The run's record once its broker is in it: one that was started a moment ago stands in the index before that."""
    while record.alive and not record.url:
        await asyncio.sleep(LOOK_SECONDS)
        record = RunIndex().find(record.run)
    return record


async def _awakened(plan: Plan, folder: RunFolder, broker: str | None, stack: AsyncExitStack) -> Address:
    """The broker of a run that does not run."""
    if broker is not None:
        return address_of(plan.run, broker)
    result = collect(folder.path)
    if result is not None and result.state == "completed" and not result.dead:
        raise RunFolderError(folder.path, f"all of run {plan.run} was worked off: its broker holds nothing any more")
    if was_external(folder):
        raise RunFolderError(folder.path, f"run {plan.run} {NO_STORE}")
    own, _ = await start_own_broker(plan, folder, secrets_folder(plan.run))
    stack.push_async_callback(own.stop)
    return Address(own.url, own.credentials)

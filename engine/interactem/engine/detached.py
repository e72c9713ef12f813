"""`python -m interactem.engine.detached FOLDER [BROKER [CREDENTIALS]]`: the supervisor of a detached run, alone.

It goes on with the run of a folder. `--attach FOLDER` takes the place of a supervisor that is gone.
"""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from interactem.engine.decisions import restart_delay
from interactem.engine.errors import EngineError, RunFolderError
from interactem.engine.executing import execute_kept, refuse_unattended
from interactem.engine.folders import RunFolder
from interactem.engine.index import RunIndex, RunRecord, secrets_folder
from interactem.engine.interrupts import interrupts
from interactem.engine.keeping import Keeper, KeeperLostError
from interactem.engine.kept_metrics import serving_kept
from interactem.engine.preparing import PreparedRun, reopen
from interactem.engine.results import RunResult
from interactem.runtime.connections import Address
from interactem.runtime.errors import InteractemRuntimeError, SettingsError
from interactem.spec import SpecError

START_SECONDS = 60.0
UNATTENDED = "INTERACTEM_UNATTENDED_SECONDS"
"""The environment variable that says how long a detached run works on without a supervisor."""
UNATTENDED_SECONDS = 60.0
KEEPER_LIFE = 5.0
KEEPER_DEATHS = 10
"""A keeper that dies so often, each time within so many seconds, is not started again."""
REFUSED = 2


def unattended_seconds(environment: Mapping[str, str] = os.environ) -> float:
    """How long a detached run works on without a supervisor. Raises `SettingsError` for what is no such time."""
    given = environment.get(UNATTENDED)
    if not given:
        return UNATTENDED_SECONDS
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise SettingsError(f"{UNATTENDED} must be a number of seconds from 0, not {given!r}")
    return seconds


def detach(prepared: PreparedRun) -> RunRecord:
    """Start a supervisor of its own session for a prepared run, and wait until the run can be seen in the index.

    Raises `EngineError` with its last words where it does not start.
    """
    unattended_seconds()
    return _supervised(prepared.run, prepared.folder, [str(prepared.folder.path), *_broker(prepared.broker)])


def attach(record: RunRecord) -> RunRecord:
    """Start a supervisor for a detached run that has none, and wait until it has taken over.

    Raises `RunFolderError` where another one is about to, or the run has just ended by itself; and `EngineError`.
    """
    return _supervised(record.run, RunFolder.open(record.folder), ["--attach", str(record.folder)])


def _supervised(run: str, folder: RunFolder, arguments: list[str]) -> RunRecord:
    log = folder.path / "supervisor.log"
    with log.open("ab") as output:
        begun = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "interactem.engine.detached", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        record = next((record for record in RunIndex().runs() if record.run == run), None)
        if record is not None and record.supervisor.pid == process.pid:
            process.returncode = 0  # it is on its own now: nobody here waits for it
            return record
        if process.poll() is not None:
            break
        time.sleep(0.02)
    words = log.read_bytes()[begun:].decode(errors="replace").strip()[-2000:]
    if process.returncode == REFUSED:
        raise RunFolderError(folder.path, words.removeprefix(f"{folder.path}: "))
    raise EngineError(f"the supervisor of run {run} did not start: {words}")


def _broker(address: Address | None) -> list[str]:
    """The password stands in the file, not here."""
    if address is None:
        return []
    return [address.url] if address.credentials is None else [address.url, str(address.credentials)]


async def _begin(folder: RunFolder, broker: Address | None) -> RunResult:
    """Run it with a keeper; should that be killed, with another one, as all that is lost with it is resumed."""
    deaths = 0
    while True:
        begun = time.monotonic()
        prepared = await reopen(folder.path, broker=broker, again=True)  # whoever detached it has decided so
        refuse_unattended(prepared)
        keeper = await Keeper.start(folder, secrets_folder(prepared.run), unattended_seconds())
        try:
            with interrupts() as started:
                with serving_kept(folder) as observe:
                    return await execute_kept(prepared, keeper, observe=observe, started=started)
        except KeeperLostError:
            deaths = deaths + 1 if time.monotonic() - begun < KEEPER_LIFE else 1
            if deaths == KEEPER_DEATHS:
                raise
            await asyncio.sleep(restart_delay(deaths))


async def _attach(folder: RunFolder) -> RunResult:
    record = RunIndex().find(str(folder.path))
    if record.keeper is None:
        raise RunFolderError(folder.path, f"run {record.run} was not detached")
    try:
        keeper = await Keeper.join(record.keeper)
    except KeeperLostError:
        words = f"run {record.run} has ended by itself, unattended; go on with: interactem pipeline resume {record.run}"
        raise RunFolderError(folder.path, words) from None
    external = Address(record.url, record.credentials) if record.url and not keeper.has_broker else None
    prepared = await reopen(folder.path, broker=external, again=True, attached=True)
    try:
        with interrupts() as started:
            with serving_kept(folder) as observe:
                return await execute_kept(prepared, keeper, attached=True, observe=observe, started=started)
    except KeeperLostError:
        return await _begin(folder, external)


async def _main(arguments: list[str]) -> int:
    attaching = arguments[0] == "--attach"
    place, *broker = arguments[attaching:]
    folder = RunFolder.open(Path(place))
    with folder.held():
        if attaching:
            result = await _attach(folder)
        else:
            result = await _begin(folder, Address(broker[0], *map(Path, broker[1:])) if broker else None)
    return 0 if result.state == "completed" else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(_main(sys.argv[1:])))
    except RunFolderError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(REFUSED)
    except (EngineError, InteractemRuntimeError, SpecError) as error:
        sys.exit(str(error))

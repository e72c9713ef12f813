"""`python -m interactem.engine.detached FOLDER [BROKER [CREDENTIALS]]`: goes on, alone, with the run of a folder."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from interactem.engine.errors import EngineError
from interactem.engine.executing import execute
from interactem.engine.index import RunIndex, RunRecord
from interactem.engine.interrupts import interrupts
from interactem.engine.preparing import PreparedRun, reopen
from interactem.runtime.connections import Address
from interactem.runtime.errors import InteractemRuntimeError
from interactem.spec import SpecError

START_SECONDS = 60.0


def detach(prepared: PreparedRun) -> RunRecord:
    """Start a supervisor of its own session for a prepared run, and wait until the run can be seen in the index.

    Raises `EngineError` with its last words where it does not start.
    """
    log = prepared.folder.path / "supervisor.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "interactem.engine.detached", str(prepared.folder.path), *_broker(prepared.broker)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        record = next((record for record in RunIndex().runs() if record.run == prepared.run), None)
        if record is not None and record.supervisor.pid == process.pid:
            process.returncode = 0  # it is on its own now: nobody here waits for it
            return record
        if process.poll() is not None:
            break
        time.sleep(0.02)
    words = log.read_text(errors="replace").strip()[-2000:]
    raise EngineError(f"the supervisor of run {prepared.run} did not start: {words}")


def _broker(address: Address | None) -> list[str]:
    """The password stands in the file, not here."""
    if address is None:
        return []
    return [address.url] if address.credentials is None else [address.url, str(address.credentials)]


async def _main(folder: Path, broker: Address | None) -> int:
    prepared = await reopen(folder, broker=broker, again=True)  # whoever detached it has decided that it goes on
    with interrupts() as started:
        result = await execute(prepared, started=started)
    return 0 if result.state == "completed" else 1


if __name__ == "__main__":
    try:
        folder, *broker = sys.argv[1:]
        sys.exit(asyncio.run(_main(Path(folder), Address(broker[0], *map(Path, broker[1:])) if broker else None)))
    except (EngineError, InteractemRuntimeError, SpecError) as error:
        sys.exit(str(error))

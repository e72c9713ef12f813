"""Where the supervisors of a detached run serve its metrics. It stands in the run folder: the next one does it too."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from interactem.engine.errors import MetricsError
from interactem.engine.files import write_json
from interactem.engine.folders import RunFolder
from interactem.engine.supervisor import Observer

_FILE = "metrics.json"


def keep_metrics(folder: RunFolder, host: str, port: int) -> None:
    """Have the supervisors that come serve metrics there."""
    write_json(folder.path / _FILE, {"host": host, "port": port})


@contextmanager
def serving_kept(folder: RunFolder) -> Iterator[Observer]:
    """An observer that serves them, where that is wanted. A port that was taken meanwhile is told, and ends nothing."""
    file = folder.path / _FILE
    if not file.is_file():
        yield lambda state, rows: None
        return
    from interactem.engine.metrics import MetricsServer

    wanted, plan = json.loads(file.read_bytes()), folder.read_plan()
    try:
        server = MetricsServer(int(wanted["port"]), str(wanted["host"]))
    except MetricsError as error:
        sys.stderr.write(f"{error}\n")
        yield lambda state, rows: None
        return
    with server:
        server.metrics.begin(plan["run"], plan["name"])
        yield server.metrics.show

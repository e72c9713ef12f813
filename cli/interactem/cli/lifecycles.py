"""Commands that go on as an operator's own process: they hand over what was asked for, and take its place."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from interactem.cli.environments import operator_python
from interactem.runtime.cancelling import SIGNALS


def request_of(
    folder: Path, *, init_data: Mapping[str, Any], parameters: Sequence[str], outputs: Path, port: str | None
) -> dict[str, Any]:
    """What `interactem.runtime.sessions.Request` is made from: connections are resolved here.

    Raises `InvalidError` and `SpecError`.
    """
    from interactem.cli.trials import assignment, connections_of

    given = dict(map(assignment, parameters))
    named = {name: value for name, value in init_data.items() if isinstance(value, str)}
    connections = connections_of(folder, {**named, **given})
    return {
        "operator": str(folder.resolve()),
        "init_data": dict(init_data),
        "parameters": {**given, **{name: connection.values for name, connection in connections.items()}},
        "outputs": str(outputs),
        "port": port,
        "secrets": [secret for connection in connections.values() for secret in connection.secrets],
    }


def become(folder: Path, module: str, request: Mapping[str, Any]) -> NoReturn:
    """Go on as a module of the runtime in the operator's environment; signals and output are its own from here on.

    It finds the request in a file that has no name, whose descriptor is its argument: nothing of it can be seen from
    outside.
    """
    python = str(operator_python(folder))
    file = _nameless()
    file.write(json.dumps(request).encode())
    file.flush()
    file.seek(0)
    os.set_inheritable(file.fileno(), True)
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # what comes while it starts waits until it listens
    os.execv(python, [python, "-m", f"interactem.runtime.{module}", str(file.fileno())])


def _nameless() -> BinaryIO:
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("request", 0), "w+b")
    file: BinaryIO = tempfile.TemporaryFile()
    return file

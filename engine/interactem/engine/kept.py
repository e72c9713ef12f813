"""What a supervisor and a keeper say to each other: JSON documents, one a line, over a socket for the user alone.

A request is `{"number", "do", …}`; its answer has the same number, and a `result` or an `error`. Answers come in any
order, that to a `wait` when there is something to tell.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from interactem.engine.errors import BrokerError, EngineError, LaunchError
from interactem.engine.launchers import Exit, Launch

VERSION = 1
"""Of this language. A keeper of another one is left alone."""
LINE_BYTES = 16 * 2**20
LONGEST_PATH = 100
"""Of a socket; systems allow hardly more."""

_LAUNCH: TypeAdapter[Launch] = TypeAdapter(Launch)
_EXIT: TypeAdapter[Exit] = TypeAdapter(Exit)


def to_line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=str).encode() + b"\n"


def launch_to_value(launch: Launch) -> dict[str, Any]:
    """All but its log."""
    value: dict[str, Any] = _LAUNCH.dump_python(launch, mode="json", exclude={"log"})
    return value


def launch_from_value(value: Mapping[str, Any], log: Callable[[bytes], None]) -> Launch:
    return _LAUNCH.validate_python({**value, "log": log})


def exit_to_value(exit: Exit) -> dict[str, Any]:
    value: dict[str, Any] = _EXIT.dump_python(exit, mode="json")
    return value


def exit_from_value(value: Mapping[str, Any]) -> Exit:
    return _EXIT.validate_python(value)


def error_to_value(error: EngineError) -> dict[str, Any]:
    """Errors that are told apart stay what they are; all others keep their words."""
    if isinstance(error, LaunchError):
        return {"kind": "launch", "operator": error.operator, "replica": error.replica, "reason": error.reason}
    if isinstance(error, BrokerError):
        return {"kind": "broker", "reason": error.reason, "log": None if error.log is None else str(error.log)}
    return {"kind": "engine", "reason": str(error)}


def error_from_value(value: Mapping[str, Any]) -> EngineError:
    if value["kind"] == "launch":
        return LaunchError(value["operator"], value["replica"], value["reason"])
    if value["kind"] == "broker":
        return BrokerError(value["reason"], Path(value["log"]) if value["log"] else None)
    return EngineError(value["reason"])


def listening(path: Path) -> socket.socket:
    """A socket at the path, in place of one that was left there."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    with _short(path) as short:
        made.bind(short)
    made.listen()
    made.setblocking(False)
    return made


def connecting(path: Path) -> socket.socket:
    """A connection to the socket at the path. Raises `OSError`."""
    made = socket.socket(socket.AF_UNIX)
    try:
        with _short(path) as short:
            made.connect(short)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path, or another way to it where it is too long for a socket."""
    if len(os.fsencode(path)) <= LONGEST_PATH or sys.platform != "linux":
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)

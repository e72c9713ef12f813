"""A small process that removes a supervisor's containers, should it be killed.

It is given the engine's socket and a label, and waits for the end of its standard input. As a script: standard library
only. It speaks the part of the API that all engines have in common.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from socket import AF_UNIX, SOCK_STREAM, socket
from urllib.parse import quote

TIMES = 3
"""So often in a row nothing must be found: the engine may still be making what it was asked for before the end."""
PAUSE_SECONDS = 0.5
GIVE_UP_SECONDS = 60.0


class ContainerGuard:
    """Our side of it. Replaced if somebody ends it."""

    def __init__(self, socket_path: str, label: str) -> None:
        self._command = [sys.executable, "-I", "-S", __file__, socket_path, label]
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self) -> None:
        """See to it that there is one."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End it: there is nothing left to remove."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


class _Connection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30.0)
        self._path = path

    def connect(self) -> None:
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _ask(path: str, method: str, target: str) -> bytes:
    connection = _Connection(path)
    try:
        connection.request(method, target)
        return connection.getresponse().read()
    finally:
        connection.close()


def remove_all(path: str, label: str) -> int:
    """Remove the containers with the label; how many there were."""
    filters = quote(json.dumps({"label": [label]}))
    found = json.loads(_ask(path, "GET", f"/containers/json?all=true&filters={filters}"))
    names = [container["Id"] for container in found]
    for name in names:
        _ask(path, "POST", f"/containers/{name}/kill?signal=KILL")
    for name in names:
        _ask(path, "DELETE", f"/containers/{name}?force=true&v=true")
    return len(found)


def main(path: str, label: str) -> None:
    sys.stdin.buffer.read()
    until = time.monotonic() + GIVE_UP_SECONDS
    nothing = 0
    while nothing < TIMES and time.monotonic() < until:
        try:
            nothing = 0 if remove_all(path, label) else nothing + 1
        except (OSError, HTTPException, ValueError):
            nothing = 0  # what is left then is for `doctor --clean`
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A NATS server of the user's own, behind a proxy, which comes back when it is killed."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from pathlib import Path
from typing import Self

from chaos.proxies import Proxy
from interactem.engine.broker import server_program

START_SECONDS = 30.0
STORE_BYTES = 2**30


class Server:
    """`url` leads through the proxy."""

    def __init__(self, folder: Path, *, store_bytes: int = STORE_BYTES) -> None:
        folder.mkdir()
        self._folder = folder
        self._password = secrets.token_urlsafe(16)
        self._store_bytes = store_bytes
        self._port = -1
        self.process = self._start()
        self.proxy = Proxy(self._port)

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.proxy.__exit__()
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"nats://me:{self._password}@127.0.0.1:{self.proxy.port}"

    @property
    def direct_url(self) -> str:
        return f"nats://me:{self._password}@127.0.0.1:{self._port}"

    def revive(self) -> None:
        """Start it again if it is dead."""
        if self.process.poll() is not None:
            self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        config = {
            "listen": f"127.0.0.1:{self._port}",
            "ports_file_dir": str(self._folder),
            "authorization": {"users": [{"user": "me", "password": self._password}]},
            "jetstream": {"store_dir": str(self._folder / "store"), "max_file_store": self._store_bytes},
            "max_payload": 8 * 2**20,
            "max_pending": 64 * 2**20,
        }
        (self._folder / "nats.conf").write_text(json.dumps(config))
        command = [str(server_program()), "-c", str(self._folder / "nats.conf"), "-l", str(self._folder / "nats.log")]
        for _ in range(10):
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            if self._serves(process):
                return process
        raise RuntimeError(f"the server does not start; its log: {self._folder / 'nats.log'}")

    def _serves(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until it does; False where it ends before: somebody else may have its port for a moment."""
        ports = self._folder / f"nats-server_{process.pid}.ports"
        until = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < until:
            if ports.exists() and (text := ports.read_text()).strip():
                self._port = int(json.loads(text)["nats"][0].rpartition(":")[2])
                return True
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            process.wait()
        return False

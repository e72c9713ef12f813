"""A small process that ends what replicas started, should we be killed.

A replica dies with us by itself; what a kernel started does not. The guard is told the process group of each replica,
and kills those that it still knows when its standard input ends. As a script: standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress


class Guard:
    """Our side of it. The process is started with the first group, and again if somebody ends it."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def add(self, group: int) -> None:
        self._groups.add(group)
        try:
            if self._process is None:
                raise BrokenPipeError
            _write(self._process, f"+{group}\n")
        except BrokenPipeError:
            self.close()
            self._process = _start()
            _write(self._process, "".join(f"+{each}\n" for each in self._groups))

    def remove(self, group: int) -> None:
        """Its leader was waited for: the number may soon be that of somebody else."""
        self._groups.discard(group)
        if self._process is not None:
            with suppress(BrokenPipeError):  # one that was ended knows no groups; the next start makes another
                _write(self._process, f"-{group}\n")

    def close(self) -> None:
        """End the guard, and with it all groups that it knows."""
        if self._process is not None:
            _end(self._process)
            self._process = None


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        bufsize=0,
    )


def _write(process: subprocess.Popen[bytes], text: str) -> None:
    if process.stdin is not None:
        process.stdin.write(text.encode())


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        group = int(line[1:])
        if line.startswith(b"+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()

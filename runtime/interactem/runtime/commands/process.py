"""One process of a command: its pipes are served, its output is taken, and it is ended when it has to be.

Everything happens in the thread that pumps. Whatever goes wrong while output is taken, reading goes on to its end: the
command is never left waiting for somebody to read.
"""

from __future__ import annotations

import fcntl
import os
import select
import selectors
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from interactem.runtime.commands.spawner import Spawner
from interactem.runtime.commands.starting import not_started
from interactem.runtime.errors import CancelledCall, CommandTimeoutError

PIPE_BYTES = 1_048_576
LAST_OUTPUT_SECONDS = 5.0
"""How long output may take to come after the end; what still holds a pipe open then has nothing to say to us."""

Take = Callable[[bytes], None]
"""Takes what a command has printed. What it raises ends the command, and is raised when that has ended."""


class Process:
    """A command that runs. `wake` is a descriptor that can be read from when `on_wake` is to be called, which may
    raise `CancelledCall`.

    Raises `CommandError` where it cannot be started.
    """

    def __init__(
        self,
        spawner: Spawner,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        out: Take,
        err: Take,
        grace: float,
        wake: int,
        on_wake: Callable[[], None],
    ) -> None:
        self._spawner = spawner
        self._grace = grace
        self._selector = selectors.DefaultSelector()
        self._feed = memoryview(b"")
        self._closes = False
        self._why: BaseException | None = None
        self.ended_with = 0
        """Its exit code, once it is closed."""
        self._kill_at: float | None = None
        self._give_up_at: float | None = None
        pipes = [os.pipe() for _ in range(3)]
        (given, self._input), (self._out, printed), (self._err, complained) = pipes
        try:
            self._number = spawner.start(arguments, environment, folder, (given, printed, complained))
        except OSError as error:
            for pipe in pipes:
                os.close(pipe[0] if pipe[0] != given else pipe[1])
            self._selector.close()
            raise not_started(arguments, environment, error) from None
        finally:
            for descriptor in (given, printed, complained):
                os.close(descriptor)
        self._open = {self._input, self._out, self._err}
        for descriptor, take in ((self._out, out), (self._err, err)):
            self._register(descriptor, take)
        os.set_blocking(self._input, False)
        _widen(self._input)
        self._selector.register(spawner.channel, selectors.EVENT_READ, spawner.hear)
        self._selector.register(wake, selectors.EVENT_READ, on_wake)

    def _register(self, descriptor: int, take: Take) -> None:
        os.set_blocking(descriptor, False)
        _widen(descriptor)
        self._selector.register(descriptor, selectors.EVENT_READ, lambda: self._read(descriptor, take))

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._spawner.code(self._number)

    @property
    def ended(self) -> bool:
        """Whether it has ended; hears what there is."""
        while select.select([self._spawner.channel], [], [], 0)[0]:
            self._spawner.hear()
        return self.code is not None

    @property
    def ending(self) -> bool:
        """Whether it was asked to end, or has."""
        return self._why is not None or self.code is not None

    @property
    def over(self) -> bool:
        """Whether it has ended, and all that it has printed was taken."""
        return self.code is not None and not self._open & {self._out, self._err}

    def write(self, data: memoryview, *, close: bool) -> None:
        """Have this written to its standard input, which is closed after it with `close`. It need not read it."""
        if self._input in self._open:
            self._feed, self._closes = data, close
            with suppress(KeyError):
                self._selector.unregister(self._input)
            self._selector.register(self._input, selectors.EVENT_WRITE, self._write)

    def end(self, why: BaseException) -> None:
        """Ask its group to end, and see to it that it does after the grace. `why` is raised when it has."""
        if self._why is None:
            self._why = why
            self._spawner.signal(self._number, signal.SIGTERM)
            self._kill_at = time.monotonic() + self._grace

    def kill(self) -> None:
        self._spawner.signal(self._number, signal.SIGKILL)
        self._kill_at = None

    def pump(self, done: Callable[[], bool], limit: float | None, begun: float) -> None:
        """Until it is done, or over. It is ended `limit` seconds after it has `begun`. Raises why it was ended."""
        limit_at = None if limit is None else begun + limit
        while not self.over and (self._why is not None or not done()):
            try:
                self._turn(limit_at)
            except (KeyboardInterrupt, CancelledCall) as error:
                if isinstance(self._why, KeyboardInterrupt):
                    self.kill()  # somebody does not want to wait for the grace
                self.end(error)
            if limit_at is not None and time.monotonic() >= limit_at:
                self.end(CommandTimeoutError(limit or 0.0))
                limit_at = None
        if self._why is not None:
            raise self._why

    def close(self) -> None:
        """Let go of everything. What runs is killed."""
        try:
            if self.code is None:
                self.kill()
            while (code := self.code) is None:
                self._spawner.hear()
            self.ended_with = code
        finally:
            for descriptor in list(self._open):
                self._close(descriptor)
            self._selector.close()
            self._spawner.forget(self._number)

    def _turn(self, limit_at: float | None) -> None:
        times = [at for at in (limit_at, self._kill_at, self._give_up_at) if at is not None]
        wait = max(0.0, min(times) - time.monotonic()) if times else None
        for key, _ in self._selector.select(wait):
            key.data()
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at:
            self.kill()
        if self.code is not None:
            self._close(self._input)
            if self._give_up_at is None:
                self._give_up_at = now + LAST_OUTPUT_SECONDS
            elif now >= self._give_up_at:
                self._close(self._out)
                self._close(self._err)

    def _read(self, descriptor: int, take: Take) -> None:
        try:
            data = os.read(descriptor, PIPE_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._close(descriptor)
        elif self._why is None:
            try:
                take(data)
            except Exception as error:
                self.end(error)

    def _write(self) -> None:
        try:
            written = os.write(self._input, self._feed[:PIPE_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not want to know more
            self._feed = memoryview(b"")
            self._close(self._input)
            return
        self._feed = self._feed[written:]
        if not self._feed:
            if self._closes:
                self._close(self._input)
            else:
                self._selector.unregister(self._input)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.discard(descriptor)
            with suppress(KeyError):
                self._selector.unregister(descriptor)
            os.close(descriptor)


def _widen(descriptor: int) -> None:
    """A larger pipe takes fewer turns."""
    if sys.platform == "linux":
        with suppress(OSError):  # a user may have so many pages of pipes and no more
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

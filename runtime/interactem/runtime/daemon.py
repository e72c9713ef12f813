"""`python -m interactem.runtime.daemon CONNECTION_FILE FOLDER LISTENER STARTER`: one operator that stays loaded.

The file and the folder say where it is, and it removes them at its end. Of the two sockets one is to accept clients at,
the other one leads to whoever starts it, its first client: that one asks for what `sessions.Request` has, and
`idle_timeout`. Requests are done one after the other in the main thread, in the order in which they come.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from interactem.runtime import frames
from interactem.runtime.cancelling import Cancelling
from interactem.runtime.logs import log_alone
from interactem.runtime.own_folders import clear_away
from interactem.runtime.printed import Printed
from interactem.runtime.sessions import INTERRUPTED, Outcome, Request, Session, outcome_of, print_message

__all__ = ["main"]

CANCEL = signal.SIGUSR2
"""How a thread that hears of a cancelled request tells the main thread, in the middle of whatever it is at."""


class Job:
    """One request of a client."""

    def __init__(self, channel: socket.socket, asked: dict[str, Any]) -> None:
        self.channel = channel
        self.asked = asked
        self.cancelled = False
        self.done = False
        self._lock = threading.Lock()

    def print(self, stream: int, data: bytes) -> None:
        """A client that is gone hears nothing; that it is, its listener notices."""
        with self._lock, suppress(OSError):
            if not self.done:
                frames.send(self.channel, frames.STDOUT if stream == 1 else frames.STDERR, data)

    def answer(self, outcome: Outcome) -> None:
        value = json.dumps({"code": outcome.code, "error": outcome.error}).encode()
        with self._lock, suppress(OSError):
            self.done = True
            frames.send(self.channel, frames.RESULT, value)

    def close(self) -> None:
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)
        self.channel.close()


class Daemon:
    def __init__(self, listener: socket.socket, start: Job, places: tuple[Path, Path]) -> None:
        self._listener = listener
        self._places = places
        self._start = start
        self._request = Request.of(start.asked)
        self._idle: float | None = start.asked["idle_timeout"]
        self._session = Session(self._request)
        self._cancelling = Cancelling(self._session.cancel)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._current: Job | None = None
        self._printed = Printed()
        log_alone(self._request.mask)
        self._main = threading.main_thread().ident or 0

    def serve(self) -> int:
        """Until it is stopped, nobody has asked for anything for long, or it is to end. Returns the exit code."""
        self._cancelling.listen()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_end)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal that it was started at is of no concern
        signal.signal(CANCEL, self._on_cancel)
        threading.Thread(target=self._listen, args=(self._start,), daemon=True).start()
        outcome = self._do(self._start, self._session.start)
        if outcome.code:
            code = self._end(self._start, outcome)
            _end_group(signal.SIGKILL)  # nothing is left of a failed start
            return code
        self._start.answer(outcome)
        self._start.close()
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        return self._end(self._work(), Outcome())

    def _work(self) -> Job | None:
        """Do what is asked for; the request to stop, or None where it ends for another reason."""
        while not self._cancelling.asked:
            try:
                job = self._jobs.get(timeout=self._idle)
            except queue.Empty:
                return None
            if job is None or job.asked.get("do") == "stop":
                return job
            run_data = job.asked["run_data"]
            job.answer(self._do(job, lambda data=run_data: self._session.run(data, print_message)))
            job.close()
        return None

    def _do(self, job: Job, step: Any) -> Outcome:
        """One step for a client, which gets what is printed meanwhile."""
        self._current, self._printed.take = job, job.print
        outcome = Outcome()
        try:
            with self._cancelling.step():
                if job.cancelled:
                    raise KeyboardInterrupt
                step()
        except BaseException as error:
            outcome = outcome_of(error, self._request.mask)
        finally:
            self._current = None
        self._printed.settle()
        self._printed.take = lambda stream, data: None
        return outcome

    def _end(self, job: Job | None, outcome: Outcome) -> int:
        """Stop and clean up, remove what says where we are, and answer: whoever hears that finds nothing of us."""
        if job is not None:
            self._printed.take = job.print
        ended = self._session.stop()
        self._printed.settle()
        self._listener.close()
        remove(*self._places)
        outcome = outcome if outcome.code else ended
        if job is not None:
            job.answer(outcome)
        while not self._jobs.empty():
            late = self._jobs.get()
            if late is not None:
                late.answer(Outcome(1, "the daemon has stopped"))
        return outcome.code

    # signals, in the main thread

    def _on_end(self, number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        self._cancelling.asked = True
        self._jobs.put(None)
        self._cancelling.interrupt()

    def _on_cancel(self, number: int, frame: FrameType | None) -> None:
        if self._current is not None and self._current.cancelled:
            self._cancelling.interrupt()

    # clients, in threads of their own

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                if self._listener.fileno() < 0:
                    return  # we end
                time.sleep(0.1)  # the operator has too many files open, say
                continue
            threading.Thread(target=self._serve_client, args=(channel,), daemon=True).start()

    def _serve_client(self, channel: socket.socket) -> None:
        job = _job_of(channel)
        if job is None:
            channel.close()
            return
        self._jobs.put(job)
        self._listen(job)

    def _listen(self, job: Job) -> None:
        """Until the client is gone, or cancels: either ends what it has asked for."""
        with suppress(OSError):
            frames.receive(job.channel)
        if not job.done:
            job.cancelled = True
            signal.pthread_kill(self._main, CANCEL)


def _end_group(number: signal.Signals) -> None:
    """End what the operator has started and left in our group; with SIGKILL, us too."""
    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, number)


def _job_of(channel: socket.socket) -> Job | None:
    """What a client asks for; None for another user, and for what is no request."""
    if not _is_ours(channel):
        return None
    try:
        frame = frames.receive(channel)
        if frame is None:
            return None
        asked = json.loads(frame[1])
        run = asked["do"] == "run" and isinstance(asked["run_data"], dict)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return Job(channel, asked) if run or asked["do"] == "stop" else None


def _is_ours(channel: socket.socket) -> bool:
    """Whether the client is of this user. Elsewhere than on Linux the socket's folder alone sees to that."""
    if sys.platform != "linux":
        return True
    credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    user: int = struct.unpack("3i", credentials)[1]
    return user == os.geteuid()


def remove(connection_file: Path, folder: Path) -> None:
    """What says where we are, where it is still us."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        value = json.loads(connection_file.read_bytes())
        if value["socket"] == str(folder / "socket"):
            connection_file.unlink()
            clear_away(Path(value["folder"]))
    shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> int:
    places = Path(arguments[0]), Path(arguments[1])
    listener, starter = (socket.socket(fileno=int(number)) for number in arguments[2:])
    for each in (listener, starter):
        each.set_inheritable(False)
    frame = frames.receive(starter)
    if frame is None:
        remove(*places)  # whoever wanted it is gone
        return INTERRUPTED
    code = Daemon(listener, Job(starter, json.loads(frame[1])), places).serve()
    _end_group(signal.SIGTERM)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

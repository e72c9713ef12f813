"""`python -m interactem.runtime.tasks.channel FD`: the tasks of a file, as `interactem operator run --input` asks.

The request is JSON in the file with this descriptor: what `sessions.Request` has, and `channel`: `input`, `output`,
`follow`, `workers`, `rank`, `world` and `json`. One thread reads tasks, gives them to worker processes, and writes what
they make of them: nobody else writes to the output.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from interactem.runtime.cancelling import SIGNALS
from interactem.runtime.errors import InteractemRuntimeError
from interactem.runtime.own_folders import outputs_folder
from interactem.runtime.sessions import INTERRUPTED, INVALID
from interactem.runtime.tasks.ledger import Ledger, OutputError, ledger_of
from interactem.runtime.tasks.lines import CANCELLED, FAILED, STATUSES, error_value, parse_task, result_line
from interactem.runtime.tasks.reading import InputError, Line, Lines, Tasks
from interactem.runtime.tasks.slots import CANCEL
from interactem.runtime.tasks.watching import Watch
from interactem.runtime.tasks.workers import CHUNK_BYTES, Returned, WorkerProcess, describe

__all__ = ["Channel", "main", "output_of", "place_of"]

BACKLOG = 10_000
"""So many tasks are read ahead, about."""
STILLBORN = 3
"""So many workers may die in a row without having done anything."""


class ChannelError(InteractemRuntimeError):
    """It cannot go on. `code` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Place:
    """Which of several equal processes this is: each takes its share of the lines."""

    rank: int = 0
    world: int | None = None
    """How many there are; None where nobody says so."""


def place_of(rank: str | None, world: str | None) -> Place:
    """From what a supervisor says. Raises `ChannelError`."""
    if rank is None and world is None:
        return Place()
    if rank is not None and world is not None and rank.isdecimal() and world.isdecimal() and int(rank) < int(world):
        return Place(int(rank), int(world))
    raise ChannelError(f"SDRUN_RANK is {rank!r} and SDRUN_WORLD_SIZE {world!r}: a rank is a number below the size", 2)


def output_of(output: Path, place: Place) -> Path:
    """The file for the results of this process: of several, each has its own. Raises `OutputError`."""
    if not output.name:
        raise OutputError(f"{output} is not a file that results can be written to")
    return output if place.world is None else output.with_name(f"{output.stem}.{place.rank}{output.suffix}")


class Channel:
    """`run` does all that there is to do. Raises `ChannelError`, `InputError` and `OutputError`."""

    def __init__(self, request: Mapping[str, Any], asked: Mapping[str, Any], place: Place) -> None:
        self._input = Path(asked["input"])
        self._request = {**request, "folder": str(self._input.absolute().parent)}
        self._follow: bool = asked["follow"]
        self._wanted: int = asked["workers"]
        self._place = place
        self.output = output_of(Path(asked["output"]), place)
        self.counts: Counter[int] = Counter()
        self.interrupted = False
        self._backlog: deque[Line] = deque()
        self._workers: list[WorkerProcess] = []
        self._deaths: Counter[int] = Counter()
        self._stillborn = 0
        self._read_all = False
        self._at_end = False
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        self._check()
        self._ledger = Ledger(self.output, rank=self._place.rank, world=self._place.world or 1)
        try:
            self.counts = self._ledger.counts
            self._tasks = Tasks(
                self._input, self._ledger.digests(), rank=self._place.rank, world=self._place.world or 1
            )
            self._watch = Watch(self._input) if self._follow else None
            try:
                with self._outputs():
                    self._live()
            finally:
                self._leave()
        finally:
            self._ledger.close()

    def _check(self) -> None:
        """Before anything is made. Raises `InputError` and `OutputError`."""
        Lines(self._input).close()
        if self.output.exists() and not self.output.is_file():
            raise OutputError(f"{self.output} is not a file that results can be written to")
        for path in (self.output, ledger_of(self.output)):
            if path.exists() and path.samefile(self._input):
                raise OutputError(f"{path} is the input too: name another file for the results")
        if not self.output.parent.is_dir():
            raise OutputError(f"there is no folder {self.output.parent} for the results")

    def _outputs(self) -> AbstractContextManager[None]:
        """The folder that workers find: of several processes, none takes it away from the others."""
        folder = Path(self._request["outputs"])
        if self._place.world is not None:
            folder.mkdir(parents=True, exist_ok=True)
        return outputs_folder(folder)

    def _live(self) -> None:
        ear = self._hear_signals()
        if self._watch is not None and self._watch.descriptor is not None:
            self._selector.register(self._watch.descriptor, selectors.EVENT_READ, self._watch)
        for _ in range(self._wanted):
            self._hire()
        while self._workers:
            self._read()
            self._give()
            self._wait(ear)

    def _leave(self) -> None:
        for worker in self._workers:
            worker.signal(signal.SIGKILL)
            worker.close()
        self._workers = []
        self._tasks.close()
        if self._watch is not None:
            self._watch.close()
        self._selector.close()

    # signals

    def _hear_signals(self) -> socket.socket:
        """A socket that signals can be read from: nothing is interrupted by them."""
        ear, mouth = socket.socketpair()
        for each in (ear, mouth):
            each.setblocking(False)
        self._mouth = mouth
        signal.set_wakeup_fd(mouth.fileno())
        for number in SIGNALS:
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._selector.register(ear, selectors.EVENT_READ, ear)
        return ear

    def _on_signals(self, ear: socket.socket) -> None:
        for number in ear.recv(64):
            if number not in SIGNALS:
                continue
            if self.interrupted:
                for worker in self._workers:
                    worker.signal(signal.SIGKILL)
                raise KeyboardInterrupt
            self.interrupted = True
            if any(worker.held for worker in self._workers):
                _say("ending when what goes on is done; once more to end now")
            self._backlog.clear()
            for worker in self._workers:
                worker.signal(signal.SIGTERM)

    # tasks

    def _read(self) -> None:
        """Read ahead as far as there is need."""
        while len(self._backlog) < BACKLOG and not (self._read_all or self.interrupted):
            if self._at_end and self._watch is not None:
                self._look_again()
            tasks = self._tasks.read()
            self._at_end = tasks is None
            if tasks is None:
                if self._watch is None:
                    self._backlog.extend(self._tasks.rest())
                    self._read_all = True
                return
            self._backlog.extend(tasks)
            if sum(len(line) for _, line, _ in tasks) > CHUNK_BYTES:
                return

    def _look_again(self) -> None:
        """Read another file, where one has taken the name of the input: before any more is read of this one."""
        if not self._tasks.replaced():
            return
        held = chain.from_iterable(worker.held for worker in self._workers)
        under_way = [digest for _, _, digest in chain(held, self._backlog)]
        with suppress(InputError):  # it is gone again, or cannot be read yet
            self._tasks.restart(chain(self._ledger.digests(), under_way))

    def _give(self) -> None:
        for worker in self._workers:
            while self._backlog and (room := worker.room) and not self.interrupted:
                worker.give(list(self._take(room)))
        if (self._read_all and not self._backlog and not self.interrupted) or self.interrupted:
            for worker in self._workers:
                if worker.ready and not worker.held and not worker.sending:
                    worker.finish()

    def _take(self, most: int) -> Iterator[Line]:
        size = 0
        while self._backlog and most and size < CHUNK_BYTES:
            most -= 1
            size += len(self._backlog[0][1])
            yield self._backlog.popleft()

    # workers

    def _hire(self) -> None:
        worker = WorkerProcess(self._request)
        self._workers.append(worker)
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)

    def _wait(self, ear: socket.socket) -> None:
        for worker in self._workers:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.sending else 0)
            self._selector.modify(worker.channel, events, worker)
        patience = 0.25 if self._watch is None or self._read_all else self._watch.patience
        for key, events in self._selector.select(patience):
            if key.data is ear:
                self._on_signals(ear)
            elif key.data is self._watch:
                self._watch.heard()
            else:
                self._on_worker(key.data, events)
        for worker in self._workers:
            if not worker.overdue and worker.overruns():
                worker.overdue = True
                worker.signal(signal.SIGKILL)

    def _on_worker(self, worker: WorkerProcess, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            worker.push()
        if not events & selectors.EVENT_READ:
            return
        heard = worker.hear()
        for returned in heard.returned:
            self._write(returned)
        if heard.error is not None:
            code, text = heard.error
            raise ChannelError(text, code)
        if heard.left:
            self._on_end(worker)

    def _on_end(self, worker: WorkerProcess) -> None:
        self._selector.unregister(worker.channel)
        self._workers.remove(worker)
        culprit, overdue, then = worker.culprit(), worker.overdue, worker.slot.then
        code = worker.close()
        if culprit is not None and (overdue or not self.interrupted):
            self._blame(culprit, code, overdue=overdue, then=then)
        self._backlog.extendleft(reversed(worker.held))
        if self.interrupted or (self._read_all and not self._backlog and code == 0):
            return
        self._stillborn = self._stillborn + 1 if culprit is None and not worker.returned else 0
        if self._stillborn >= STILLBORN:
            raise ChannelError(f"the operator's process {describe(code)}, {STILLBORN} times, before it did anything")
        self._hire()

    def _blame(self, task: Line, code: int, *, overdue: bool, then: int) -> None:
        """A task during which its worker died is tried once more: somebody else may have done it."""
        number, line, _ = task
        self._deaths[number] += 1
        if not overdue and self._deaths[number] < 2:
            self._backlog.appendleft(task)
            return
        name = None
        with suppress(ValueError):
            name = parse_task(line).id
        status, value = FAILED, error_value("WorkerDied", f"the process that was at it {describe(code)}, twice")
        if overdue and then == CANCEL:
            status, value = CANCELLED, error_value("Cancelled", "its deadline has passed, and its process was ended")
        elif overdue:
            value = error_value("TimeoutError", "the kernel took longer than its limit, and its process was ended")
        result = result_line(name, number, status, value)
        self._write(Returned([task], [len(result)], bytes([STATUSES.index(status)]), result))

    def _write(self, returned: Returned) -> None:
        records = zip((digest for _, _, digest in returned.tasks), returned.lengths, returned.statuses, strict=True)
        try:
            self._ledger.append(records, returned.lines)
        except OSError as error:
            raise ChannelError(
                f"{self.output}: {(error.strerror or str(error)).lower()}; what was done is kept: start it again"
            ) from None
        self.counts.update(returned.statuses)


def summary(counts: Counter[int]) -> dict[str, int]:
    """How many results there are in the output, by status."""
    return {"tasks": sum(counts.values()), **{status: counts[index] for index, status in enumerate(STATUSES)}}


def main(arguments: list[str]) -> int:
    with os.fdopen(int(arguments[0]), "rb") as file:
        asked: dict[str, Any] = json.load(file)
    about = asked.pop("channel")
    code, error, counts = 0, None, Counter[int]()
    try:
        channel = Channel(asked, about, place_of(about["rank"], about["world"]))
        counts = channel.counts
        try:
            channel.run()
        finally:
            counts = channel.counts
        code = INTERRUPTED if channel.interrupted else int(counts[0] < sum(counts.values()))
    except (InputError, OutputError) as problem:
        code, error = INVALID, str(problem)
    except ChannelError as problem:
        code, error = problem.code, str(problem)
    except OSError as problem:
        code, error = 1, f"{problem.filename or about['output']}: {(problem.strerror or str(problem)).lower()}"
    except KeyboardInterrupt:
        code = INTERRUPTED
    _report(code, error, summary(counts), as_json=about["json"])
    return code


def _report(code: int, error: str | None, counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        document = counts if error is None else {"error": error, "problems": [], **counts}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    if error is not None:
        _say(f"error: {error}")
    if code != INVALID:
        words = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
        _say(f"{counts['tasks']} results: {', '.join(words) or 'none'}")


def _say(text: str) -> None:
    with suppress(OSError):  # nobody listens
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

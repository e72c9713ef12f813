"""What a replica is told: parameters, the end of the stream, crashes, and how fast those are who read from it."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from interactem.runtime.assignment import Assignment
from interactem.runtime.controls import is_cut_short, malformed
from interactem.runtime.errors import WireError
from interactem.runtime.failures import Failure
from interactem.runtime.outbox import Outbox
from interactem.runtime.reports import REPORT_SECONDS, Reporter
from interactem.runtime.subjects import short_hash
from interactem.runtime.transports import Delivery, Record, Transport

_logger = logging.getLogger("interactem.operator")
_READER_SECONDS = 0.01


class Hearing:
    """Receives for a replica: deliveries are returned, records are heard.

    `pokes` are the triggers that were pulled; `on_poke` is called with each where there is time for it. `check` raises
    `ValueError` for parameters that the kernel cannot have: they are refused, and the ones before stay. `answers` is
    the subject under which whoever told something hears that it was done.

    `parameters` is one dict for the life of the replica, changed in place, so that a generator that runs sees what is
    new. Those that it begins with are the replica's own, and stay. `forget` is told the low watermarks.
    """

    def __init__(
        self,
        assignment: Assignment,
        transport: Transport,
        outbox: Outbox,
        reporter: Reporter,
        parameters: Mapping[str, Any],
        forget: Callable[[str, int], None],
        answers: str,
    ) -> None:
        self.pokes: deque[bytes] = deque()
        self.on_poke: Callable[[bytes], None] = lambda poke: None
        self.check: Callable[[Mapping[str, Any]], object] = lambda parameters: None
        self.on_side_input: Callable[[int, bytes], None] = lambda operator, record: None
        self._told_parameters = False
        self.parameters = dict(parameters)
        self._own = dict(parameters)
        self.crashes: dict[tuple[int, str], Failure] = {}
        """By edge and id, the attempts that have ended a process and that nobody has counted yet."""
        self.together: set[tuple[int, str]] = set()
        """Which of them were in flight with others, any of which may be to blame."""
        self.closed = False
        """Whether nothing more will be sent to this operator: what it has received so far, and retries, are all."""
        self.told_to_finish = False
        self.drained = False
        self.cut_short = False
        """Whether the stream has not ended by itself, and goes on when the run is resumed."""
        self.ended: set[str] = set()
        """The sources of which nothing comes any more, each `operator~replica`."""
        self.recomputed = False
        """Whether what was lost with shared memory is sent again."""
        self.stopped = False
        self._assignment = assignment
        self._transport = transport
        self._outbox = outbox
        self._reporter = reporter
        self._forget = forget
        self._answers = answers

    def stop(self) -> None:
        """End soon; may be called from a signal handler."""
        self.stopped = self.told_to_finish = True

    @property
    def ending(self) -> bool:
        """Whether there is nothing more to receive, now that the stream has ended."""
        return self.stopped or (self.told_to_finish and not self._transport.waiting)

    def receive(self, timeout: float) -> Delivery | None:
        """The next delivery; None when there was none in time, or something else happened."""
        item = self._transport.receive(timeout)
        if isinstance(item, Record):
            self.hear(item)
            return None
        return item

    def look(self) -> None:
        """Hear what has come, without waiting."""
        while self._transport.waiting and not self.stopped:
            self.receive(0)
        self.take_pokes()
        self._reporter.now_and_then()

    def take_pokes(self) -> None:
        while self.pokes and not self.stopped:
            self.on_poke(self.pokes.popleft())

    def answer(self, value: Mapping[str, Any]) -> None:
        """Tell whoever has told something; may be called from the transport's thread."""
        self._transport.report(self._answers, json.dumps(value).encode())

    def pause(self, seconds: float) -> None:
        """Wait, and listen; the end of the stream ends it."""
        until = time.monotonic() + seconds
        while not self.told_to_finish and (left := until - time.monotonic()) > 0:
            self.receive(min(left, REPORT_SECONDS))
            self.take_pokes()
            self._reporter.now_and_then()

    def hear_readers(self) -> None:
        """Listen to how fast they are who read what is still to be stored: until then it goes out in small pieces."""
        while self._outbox.demand.unheard and len(self._outbox) and not self.stopped:
            self.receive(_READER_SECONDS)
            self.take_pokes()
            self._reporter.now_and_then()

    def rest(self, seconds: float) -> None:
        """Wait after the end of the stream; only `stop` ends it."""
        until = time.monotonic() + seconds
        while not self.stopped and (left := until - time.monotonic()) > 0:
            self.receive(min(left, REPORT_SECONDS))

    def wait_for_room(self) -> float:
        """Wait until the outbox has room again, or we are to end; the seconds that it took."""
        if not self._outbox.full:
            return 0.0
        begun = time.monotonic()
        while not self.stopped and not self._outbox.wait_for_room(REPORT_SECONDS):
            self._reporter.now_and_then()
        return time.monotonic() - begun

    def hear(self, record: Record) -> None:
        kind = record.subject.split(".", 5)
        if kind[2] == "c" and kind[4] == "side":
            self._hear_side_input(int(kind[5]), record.payload)
        elif kind[2] == "c":
            self._hear_engine(kind[4], record.payload)
        elif kind[2] == "p":
            self.pokes.append(record.payload)

    def _hear_engine(self, kind: str, payload: bytes) -> None:
        if why := malformed(kind, payload):
            _logger.warning("what the engine says of %s is ignored: %s", kind, why)
        elif kind == "finish":
            self.told_to_finish = True
            self.cut_short = is_cut_short(payload)
        elif kind == "drain" and self._assignment.is_source:
            self.told_to_finish = self.drained = True
        elif kind == "parameters":
            answer = {"parameters": short_hash(payload.decode())}
            refused = self._take_parameters({**json.loads(payload), **self._own})
            self.answer({**answer, "refused": refused} if refused else answer)
        elif kind == "recomputed":
            self.recomputed = True
        elif kind == "closed":
            self.closed = True
        elif kind == "crash":
            value = json.loads(payload)
            self._hear_crash(value)
        elif kind == "ended":
            self.ended.update(map(str, json.loads(payload)["sources"]))
        elif kind == "watermarks":
            for source, position in json.loads(payload).items():
                self._forget(source, position)

    def _hear_side_input(self, operator: int, record: bytes) -> None:
        try:
            self.on_side_input(operator, record)
        except WireError as error:
            _logger.warning("a side input is ignored: %s", error)

    def _hear_crash(self, value: dict[str, Any]) -> None:
        """Of several crashes during one message the latest counts, and of the same attempt that which it had alone."""
        one = value["edge"], value["id"], value["attempts"]
        others = value.get("others", [])
        for edge, name, attempts in [one, *others]:
            known = self.crashes.get((edge, name))
            later = known is None or (attempts, not others) > (known.attempts, (edge, name) not in self.together)
            if later:
                self.crashes[edge, name] = Failure(attempts, str(value["error"]))
                (self.together.add if others else self.together.discard)((edge, name))

    def _take_parameters(self, new: Mapping[str, Any]) -> str:
        """Why these are refused; empty where they are not. The first are taken as they are: calls say what is wrong."""
        if self._told_parameters:
            try:
                self.check(new)
            except ValueError as error:
                return str(error)
        self._told_parameters = True
        self.parameters.update(new)
        for name in self.parameters.keys() - new.keys():
            del self.parameters[name]
        return ""

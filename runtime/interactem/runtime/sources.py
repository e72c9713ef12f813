"""Sources: operators that nothing is sent to. Each position that they have got to is stored with what was sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from interactem.runtime import checkpoint as checkpoints
from interactem.runtime.assignment import Assignment
from interactem.runtime.blobs import HEADROOM
from interactem.runtime.calls import Caller
from interactem.runtime.checkpoint import Checkpoint
from interactem.runtime.context import Context
from interactem.runtime.demand import BATCH_MESSAGES
from interactem.runtime.effects import Effects
from interactem.runtime.errors import InteractemRuntimeError, MessageTooLargeError
from interactem.runtime.failures import RAISED, Failure, backoff, is_last
from interactem.runtime.hearing import Hearing
from interactem.runtime.ids import NO_SERIES, source_id, source_name
from interactem.runtime.kinds.acknowledging import Acknowledging
from interactem.runtime.kinds.sources import EndOfStream, pack_position, pairs, unpack_position
from interactem.runtime.kinds.transforming import transformed, transforming
from interactem.runtime.messages import BytesMessage
from interactem.runtime.outbox import BATCH_BYTES, Outbox, Sent
from interactem.runtime.packing import Packing
from interactem.runtime.reports import FailureLog, Reporter
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Store, Work

IDLE_FIRST = 0.001
IDLE_MOST = 1.0
LOOK_SECONDS = 0.001
"""How often a source looks for what it is told, at most."""


class SourceError(InteractemRuntimeError):
    """A source failed as often as it may without sending anything in between."""


class Source:
    """Calls the kernel until the data ends or we are told to finish."""

    def __init__(
        self,
        assignment: Assignment,
        caller: Caller,
        packing: Packing,
        context: Context,
        hearing: Hearing,
        outbox: Outbox,
        effects: Effects,
        reporter: Reporter,
        log: FailureLog,
    ) -> None:
        self._assignment = assignment
        self._caller = caller
        self._transform = transforming(caller)
        self._kernel = caller.kernel
        self._packing = packing
        self._context = context
        self._hearing = hearing
        self._outbox = outbox
        self._effects = effects
        self._reporter = reporter
        self._counts = reporter.counts
        self._log = log
        self._record = Names(assignment.run).record(assignment.operator, context.replica, "checkpoint")
        self._replayable = Names(assignment.run).record(assignment.operator, context.replica, "replayable")
        self._look_at = 0.0
        self._position = 0
        self._name = ""
        self._series = NO_SERIES  # of the first message at each position
        self._state = b""  # as it was stored last, encoded
        self._marked = False  # whether what this incarnation begins with is stored
        self._place = b""  # of a source that reads: its own position, encoded
        self._acknowledging = Acknowledging(caller, reporter, log)
        outbox.locate = self._locate

    def produce(self) -> None:
        """Raises `SourceError` after `max_attempts` failures in a row."""
        checkpoint = self._effects.checkpoint
        if checkpoint.finished and not checkpoint.drained:
            return  # the data has ended, and an earlier incarnation has seen it
        if not self._hearing.told_to_finish:
            checkpoint.finished = checkpoint.drained = False  # it was drained, and goes on
        self._begin(checkpoint)
        try:
            self._produce()
        finally:
            checkpoint.position, checkpoint.place = self._position, self._place

    def acknowledge(self) -> None:
        """Everything is stored: see to it that a source that reads knows. Raises `SourceError`."""
        if self._effects.checkpoint.place:
            self._acknowledging.stored(self._effects.checkpoint.place)
        try:
            self._acknowledging.end(self._hearing, self._assignment.max_attempts)
        except Exception as error:
            raise SourceError(
                f"ack failed {self._assignment.max_attempts} times in a row: {type(error).__name__}: {error}; "
                "all that was read is stored, and ack is called again when the run is resumed"
            ) from error

    def _produce(self) -> None:
        failures = 0
        while not self._hearing.told_to_finish:
            start = self._position, self._place
            try:
                self._context.attempt = failures + 1
                if self._kernel.reads:
                    self._read()
                    return
                if self._kernel.generator:
                    self._run_generator()
                    return
                self._call_repeatedly()
            except RAISED as error:
                self._outbox.check()
                failures = 1 if (self._position, self._place) != start else failures + 1
                self._failed(error, failures)

    def _failed(self, error: BaseException, failures: int) -> None:
        failure = Failure.of(error, failures, self._context.mask.text)
        self._log.log("source", failure)
        self._reporter.event("failure", failure.to_value())
        if is_last(failures, self._assignment.max_attempts):
            raise SourceError(f"the source failed {failures} times in a row: {failure.error}") from error
        self._counts.retried += 1
        self._effects.restart_state()
        self._hearing.pause(backoff(failures))

    # where it begins

    def _begin(self, checkpoint: Checkpoint) -> None:
        if self._begins_anew(checkpoint):
            checkpoint.epoch += 1
            checkpoint.position = 0
        self._position, self._state = checkpoint.position, self._effects.snapshot_bytes
        self._place = checkpoint.place
        self._acknowledging.stored(self._place)  # nobody knows whether it was told
        self._name = source_name(self._context.operator, self._context.replica, checkpoint.epoch)
        self._series = source_id(self._name, 0).series

    def _begins_anew(self, checkpoint: Checkpoint) -> bool:
        """Whether a restarted source counts anew.

        A function that is called again and does not ask for its position has no beginning to go back to.
        """
        goes_on = checkpoint.resumes or self._kernel.generator or self._kernel.reads
        return self._effects.restored and not (goes_on and self._kernel.replayable)

    def _mark_beginning(self) -> None:
        """Before anything is sent that cannot be made again: have it stored that this epoch is taken."""
        self._marked = True
        kernel = self._kernel
        if not (kernel.replayable and (kernel.generator or kernel.reads or self._context.position_used)):
            self._effects.store_now()
        elif (
            self._outbox.arena is not None and kernel.acknowledge is None
        ):  # should shared memory be lost, it can be run again from its beginning
            self._outbox.put(Work(then=[Store(self._replayable, b"{}")]))

    # calling

    def _run_generator(self) -> None:
        begun = self._position
        self._context._position = begun if self._kernel.replayable else 0
        self._context.position_used = False
        skip = -1
        weight = 0
        emit, now = self._emit, time.monotonic
        called = time.perf_counter()  # the first call after each look is timed: one in a millisecond
        for result in self._limited(self._caller.invoke(None, self._hearing.parameters)):
            if called:
                self._counts.kernel_times.record(time.perf_counter() - called)
                called = 0.0
            if skip < 0:
                # a generator that did not ask where to start has started at its beginning
                skip = begun if self._kernel.replayable and not self._context.position_used else 0
            if skip:
                skip -= 1
            else:
                weight = emit(result)
            if weight > BATCH_BYTES or now() >= self._look_at:
                if self._look():
                    return
                called = time.perf_counter()

    def _read(self) -> None:
        """Read from where the last message was, again and again, until there is nothing more."""
        idle, context = IDLE_FIRST, self._context
        while not self._hearing.told_to_finish:
            self._acknowledging.look()
            start = context._position = self._position
            context.reading = unpack_position(self._place), BATCH_MESSAGES
            called = time.perf_counter()
            try:
                for messages, position in self._limited(self._pairs()):
                    weight = self._emit(messages, pack_position(position))
                    if (weight > BATCH_BYTES or time.monotonic() >= self._look_at) and self._look():
                        return
            except EndOfStream:
                return
            self._counts.kernel_times.record(time.perf_counter() - called)
            if self._position != start:
                idle = IDLE_FIRST
                continue
            self._hearing.pause(idle)
            idle = min(IDLE_MOST, idle * 2)

    def _pairs(self) -> Iterable[tuple[Any, Any]]:
        yield from pairs(self._caller.invoke(None, self._hearing.parameters))

    def _call_repeatedly(self) -> None:
        idle = IDLE_FIRST
        timed = True
        while not self._hearing.told_to_finish:
            self._context._position = self._position
            called = time.perf_counter() if timed else 0.0
            [result] = self._limited(self._caller.invoke(None, self._hearing.parameters) for _ in range(1))
            if called:
                self._counts.kernel_times.record(time.perf_counter() - called)
                timed = False
            if messages := self._caller.checked(result):
                idle = IDLE_FIRST
                if self._emit(messages) > BATCH_BYTES or time.monotonic() >= self._look_at:
                    self._look()
                    timed = True
            else:
                self._hearing.pause(idle)
                idle = min(IDLE_MOST, idle * 2)

    def _limited(self, results: Iterable[Any]) -> Iterable[Any]:
        """The same results; getting each one may take as long as a call may."""
        return self._armed(iter(results)) if self._caller.hard_limit else results

    def _armed(self, results: Iterator[Any]) -> Iterator[Any]:
        while True:
            self._caller.arm()
            try:
                result = next(results)
            except StopIteration:
                return
            finally:
                self._caller.disarm()
            yield result

    def _look(self) -> bool:
        """Hear what there is, and wait while the broker is behind. Returns whether we are to end."""
        self._hearing.look()
        while not self._hearing.told_to_finish and not self._outbox.wait_for_room(0.2):
            self._hearing.look()
        self._acknowledging.look()
        self._look_at = time.monotonic() + LOOK_SECONDS
        return self._hearing.told_to_finish

    # sending

    def _emit(self, result: Any, place: bytes = b"") -> int:
        """Send what was yielded once: nothing of it, if any of it cannot be sent. Returns its weight.

        `place` is where a source that reads is then.
        """
        made: list[Sent] = []
        if self._transform is not None:
            result = transformed(self._caller.checked(result), self._transform, self._hearing.parameters)
        if type(result) is BytesMessage and result.target is None:
            weight = self._packing.pack_into(made, result, self._series, self._position)
        else:
            weight = self._pack_several(made, result)
        if not self._marked:
            self._mark_beginning()
        if self._context.state_used:
            self._snapshot_state()
        self._position += 1
        self._place = place
        self._counts.sent += len(made)
        self._outbox.send(made, weight, (self._position, self._state, place))
        return weight

    def send_beside(self, made: list[Sent], weight: int) -> None:
        """Send what belongs to no position."""
        if not self._marked:
            self._mark_beginning()
        if self._context.state_used:
            self._snapshot_state()
        self._counts.sent += len(made)
        self._outbox.send(made, weight, (self._position, self._state, self._place))

    def _pack_several(self, made: list[Sent], result: Any) -> int:
        weight = 0
        for index, message in enumerate(self._caller.checked(result)):
            weight += self._packing.pack_into(made, message, *source_id(self._name, self._position, index))
        return weight

    def _snapshot_state(self) -> None:
        state, most = self._effects.snapshot(), self._assignment.max_payload - HEADROOM
        if len(state) > most:
            raise MessageTooLargeError(len(state), most, "a source's context.state")
        self._state = state

    def _locate(self, mark: tuple[int, bytes, bytes]) -> Store:
        """What is stored of a position: called by the transport's thread, for the latest one alone."""
        position, state, own = mark
        checkpoint = self._effects.checkpoint
        place = Checkpoint(
            position=position,
            epoch=checkpoint.epoch,
            finishes=checkpoint.finishes,
            resumes=checkpoint.resumes or self._context.position_used,
            place=own,
        )
        return Store(self._record, checkpoints.encode(place, state), stored=partial(self._located, own))

    def _located(self, own: bytes, sequence: int, again: bool) -> None:
        self._acknowledging.stored(own)

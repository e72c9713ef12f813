"""The end of the stream: the finish function is called, what it makes is sent, and that it was is stored."""

from __future__ import annotations

from interactem.runtime.assignment import Assignment
from interactem.runtime.calls import Caller
from interactem.runtime.context import Context
from interactem.runtime.effects import Effects
from interactem.runtime.errors import InteractemRuntimeError
from interactem.runtime.failures import RAISED, Failure, backoff, is_last
from interactem.runtime.hearing import Hearing
from interactem.runtime.ids import finish_name, source_id
from interactem.runtime.outbox import Sent
from interactem.runtime.packing import Packing
from interactem.runtime.reports import FailureLog, Reporter


class FinishError(InteractemRuntimeError):
    """A finish function failed as often as it may."""


class Ending:
    """Calls `finish`, once for each end of the stream: a run that is resumed after it was drained has several."""

    def __init__(
        self,
        assignment: Assignment,
        caller: Caller,
        packing: Packing,
        context: Context,
        hearing: Hearing,
        effects: Effects,
        reporter: Reporter,
        log: FailureLog,
    ) -> None:
        self._assignment = assignment
        self._caller = caller
        self._packing = packing
        self._context = context
        self._hearing = hearing
        self._effects = effects
        self._reporter = reporter
        self._log = log
        self._source = finish_name(context.operator, context.replica)

    def call(self) -> None:
        """Raises `FinishError` after `max_attempts` failures. Everything before must be stored."""
        checkpoint = self._effects.checkpoint
        if checkpoint.finished:
            return
        failures = 0
        while not self._hearing.stopped:
            try:
                made, weight = self._attempt(checkpoint.finishes + 1, failures + 1)
                break
            except RAISED as error:
                failures += 1
                self._failed(error, failures)
        else:
            return
        checkpoint.finishes += 1
        checkpoint.finished, checkpoint.drained = True, self._hearing.drained
        self._reporter.counts.sent += len(made)
        self._effects.keep(made, weight)
        self._effects.wait()
        self._effects.commit()

    def _attempt(self, end: int, attempt: int) -> tuple[list[Sent], int]:
        """What the function makes, and its weight: all of it, or none."""
        self._context.attempt, self._context._message = attempt, None
        made: list[Sent] = []
        weight = 0
        try:
            self._caller.arm()
            results = self._caller.messages(self._caller.invoke(None, self._hearing.parameters))
            for index, message in enumerate(results):
                weight += self._packing.pack_into(made, message, *source_id(self._source, end, index))
        finally:
            self._caller.disarm()
            self._caller.close()
        self._effects.snapshot()
        return made, weight

    def _failed(self, error: BaseException, failures: int) -> None:
        failure = Failure.of(error, failures, self._context.mask.text)
        self._log.log("finish function", failure)
        self._reporter.event("failure", failure.to_value())
        if is_last(failures, self._assignment.max_attempts):
            raise FinishError(f"the finish function failed {failures} times: {failure.error}") from error
        self._effects.restart_state()
        self._reporter.counts.retried += 1
        self._hearing.rest(backoff(failures))

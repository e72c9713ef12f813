"""A reducer in a replica: windows that are due are given to the kernel, and what it makes is kept to be sent.

What a window comes to is stored with the end of the window as one checkpoint, before it is sent. A window whose kernel
fails is tried again; after its last attempt its messages are dead letters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from interactem.runtime.assignment import Assignment
from interactem.runtime.calls import Caller
from interactem.runtime.context import Context
from interactem.runtime.effects import Effects
from interactem.runtime.errors import PortError, StateError
from interactem.runtime.failures import RAISED, Failure, backoff, is_last
from interactem.runtime.hearing import Hearing
from interactem.runtime.ids import Run, text
from interactem.runtime.kernels import Kernel
from interactem.runtime.kinds.reduce.reducer import Due, Reducer
from interactem.runtime.kinds.reduce.reduction import Given, Reduction
from interactem.runtime.messages import BytesMessage
from interactem.runtime.outbox import Sent
from interactem.runtime.packing import Packing
from interactem.runtime.reports import FailureLog, Reporter
from interactem.runtime.retries import Retries
from interactem.runtime.slot import Slot

RETURNING = 3.0
"""So many acknowledgement times is waited for what a process held that has died."""


def gathering(
    kernel: Kernel, reduction: Reduction, assignment: Assignment, context: Context, clock: Callable[[], float]
) -> tuple[Kernel, Reducer]:
    """The kernel that messages are given to, which gathers them, and what it gathers them in.

    Raises `PortError` where late messages are to go to a port that there is not.
    """
    ports = tuple(output.port for output in assignment.outputs)
    if reduction.late is not None and reduction.late not in ports:
        raise PortError(reduction.late, ports)
    edges: dict[str | None, int] = {entry.port: entry.edge for entry in assignment.inputs}
    origins = [(entry.edge, origin) for entry in assignment.inputs for origin in entry.origins]
    reducer = Reducer(reduction, context, edges, clock, origins)

    def gather(message: BytesMessage) -> BytesMessage | None:
        return reducer.add(message)

    gather.__name__ = kernel.function.__name__
    return replace(kernel, function=gather), reducer


class Reducing:
    """Calls the kernel of one replica with its windows."""

    def __init__(
        self,
        assignment: Assignment,
        reducer: Reducer,
        caller: Caller,
        packing: Packing,
        context: Context,
        hearing: Hearing,
        effects: Effects,
        reporter: Reporter,
        retries: Retries,
        log: FailureLog,
        slot: Slot,
    ) -> None:
        self._assignment = assignment
        self._reducer = reducer
        self._caller = caller
        self._packing = packing
        self._context = context
        self._hearing = hearing
        self._effects = effects
        self._reporter = reporter
        self._retries = retries
        self._log = log
        self._slot = slot

    def begin(self) -> None:
        """Raises `StateError` in one of several replicas, unless each has its keys."""
        if self._assignment.replicas > 1 and not all(entry.keyed for entry in self._assignment.inputs):
            raise StateError(self._assignment.name, self._assignment.replicas)
        self._context._use_state()
        self._context._kept["reduce", ""] = self._reducer
        if self._effects.restored:
            self._reducer.expect_again(RETURNING * self._assignment.ack_wait)
        else:
            self._effects.store_now()  # so that the next process knows that there was one before
        self._reducer.forget()

    @property
    def patience(self) -> float | None:
        """Seconds until there may be something to do without a message; None where there is nothing."""
        return self._reducer.patience

    def look(self) -> None:
        """Tell what is due."""
        self._reducer.hear_ended(self._hearing.ended)
        self._tell_all(self._reducer.due)

    def end(self) -> None:
        """The stream has ended: tell all that is open. If it was only drained, it goes on later: nothing is closed."""
        checkpoint = self._effects.checkpoint
        if checkpoint.finished:
            return
        while not self._hearing.stopped:
            self._tell_all(lambda: self._reducer.last(drained=self._hearing.cut_short))
            if self._hearing.cut_short or not self._reducer.open:
                break
            self._hearing.rest(max(0.01, self._reducer.patience or 0.0))
        if self._hearing.stopped:
            return
        checkpoint.finished, checkpoint.drained = True, self._hearing.cut_short
        checkpoint.finishes += 1
        self._effects.wait()
        self._effects.commit()

    def close(self) -> None:
        self._caller.close()

    def _tell_all(self, due: Callable[[], Iterator[Due]]) -> None:
        for one in due():
            self._tell(one)
            self._effects.commit_if_due(more=True)
            if self._hearing.stopped:
                return

    def tell_now(self, trigger: str) -> dict[str, Any]:
        """What windows have come to so far is told, for a trigger; how that went."""
        sent, failures = self._reporter.counts.sent, list[Failure]()
        found = list(self._reducer.so_far())
        self._context.trigger = trigger
        try:
            for due in found:
                failures += filter(None, [self._tell(due)])
        finally:
            self._context.trigger = None
        self._effects.commit_pending()
        done = {"calls": len(found), "sent": self._reporter.counts.sent - sent}
        return done | {"error": failures[0].error, "traceback": failures[0].traceback} if failures else done

    def _tell(self, due: Due) -> Failure | None:
        """Returns why it has failed, if it has."""
        numbers = self._reducer.in_order(due)
        edge, name = self._assignment.inputs[0].edge, self._reducer.name_of(due, numbers[0])
        crash = self._hearing.crashes.get((edge, text(*name)))
        if crash is not None and crash.attempts > due.window.attempts:
            return self._failed(due, crash)
        context, attempt = self._context, due.window.attempts + 1
        context.attempt, context._message = attempt, None
        undo = context._mark(beside=1)  # the reducer
        made: list[Sent] = []
        # should the process die in the call, it counts for the window, and for none of its messages alone
        self._slot.begin(edge, [Run(*name, 1)], attempt)
        self._slot.current[0] = 1
        try:
            weight, count = self._call(due, numbers, made)
        except StateError:
            raise  # no window is to blame for it
        except RAISED as error:
            self._slot.leave()
            undo()
            return self._failed(due, Failure.of(error, attempt, context.mask.text))
        finally:
            context.remove_folder()
        self._slot.leave()
        self._reporter.counts.sent += len(made)
        self._effects.keep(made, weight)
        self._reducer.told(due, count)
        return None

    def _call(self, due: Due, numbers: list[int], made: list[Sent]) -> tuple[int, int]:
        """Collect in `made` what the kernel makes of a window. Returns its weight, and how many messages it was."""
        weight = count = 0
        self._caller.arm()
        try:
            results = self._invoke(self._reducer.given(due, numbers))
            for result in self._caller.messages(results):
                message, name = self._reducer.named(due, result, count)
                weight += self._packing.pack_into(made, message, *name)
                count += 1
        finally:
            self._caller.disarm()
        return weight, count

    def _invoke(self, given: Given) -> Any:
        return self._caller.invoke(given, self._hearing.parameters)  # type: ignore[arg-type]

    def _failed(self, due: Due, failure: Failure) -> Failure:
        window = due.window.window
        self._log.log(f"window {window.start:g} to {window.end:g} of {due.window.key!r:.80}", failure)
        self._reporter.event("failure", failure.to_value())
        if not due.final:
            self._reducer.passed_over(due)
        elif not is_last(failure.attempts, self._assignment.max_attempts):
            self._reporter.counts.retried += 1
            self._reducer.failed(due, failure.attempts, backoff(failure.attempts))
        else:
            for held in map(self._reducer.held, self._reducer.in_order(due)):
                self._retries.bury(held.edge, held.message, held.id, failure)
            self._reducer.close(due.window)
        return failure

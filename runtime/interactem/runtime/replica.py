"""One replica's life: what it does with what it receives, in every mode alike.

The rules of delivery are in the modules that it puts together; `transports` only carry. A delivery is settled in one
step with what was made from it. A replica with effects stores them, the ids that it has applied and what it sends as
one checkpoint before it settles. A message whose kernel fails goes its own way.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactem.runtime.arena import Arena
from interactem.runtime.assignment import Assignment
from interactem.runtime.blobs import LOOSE
from interactem.runtime.calls import Caller
from interactem.runtime.context import Context
from interactem.runtime.dependencies import Dependencies
from interactem.runtime.effects import Effects
from interactem.runtime.endings import Ending, FinishError
from interactem.runtime.errors import LoadError, StateError
from interactem.runtime.fitting import describe, misfits
from interactem.runtime.flight.choosing import limit_of, workers_for
from interactem.runtime.flight.flights import Flights
from interactem.runtime.hearing import Hearing
from interactem.runtime.in_order import InOrder
from interactem.runtime.inputs import Inputs
from interactem.runtime.kernels import Kernel
from interactem.runtime.kinds.side_inputs import SideInputError
from interactem.runtime.kinds.updating import SideInputs, Updating
from interactem.runtime.lending import Lender, lender
from interactem.runtime.outbox import Outbox
from interactem.runtime.packing import Packing
from interactem.runtime.reports import REPORT_SECONDS, FailureLog, Reporter
from interactem.runtime.retries import Retries
from interactem.runtime.slot import Slot
from interactem.runtime.sources import Source, SourceError
from interactem.runtime.statistics import Counts
from interactem.runtime.subjects import Names
from interactem.runtime.tracing import Tracing
from interactem.runtime.transports import Delivery, Record, Store, Transport, Work
from interactem.runtime.triggers import Triggers
from interactem.runtime.typed_parameters import validated
from interactem.runtime.views import Views, arena_name
from interactem.runtime.waiting import Waiting

if TYPE_CHECKING:
    from interactem.runtime.kinds.reduce.reducing import Reducing

__all__ = ["FinishError", "Replica", "SideInputError", "SourceError"]

_LONGEST_WAIT = 1.0
_REST_SECONDS = 0.1


class Replica:
    """Runs `kernel` as one replica of the operator that `assignment` describes, until the stream's end.

    `arm` starts the time limit of a call in seconds (0: stops it); it ends the process when the limit is over. `arenas`
    is the folder with the arenas of the run, if there is shared memory. Raises `LoadError` where the kernel does not do
    what the assignment asks of it.
    """

    def __init__(
        self,
        assignment: Assignment,
        kernel: Kernel,
        transport: Transport,
        context: Context,
        *,
        parameters: dict[str, Any],
        slot: Slot | None = None,
        arm: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.time,
        arenas: Path | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        for misfit in misfits(describe(kernel), assignment):
            raise LoadError(str(kernel.program or assignment.name), str(misfit))
        slot = slot or Slot()
        self.counts = Counts(storing_times=transport.storing, telling=context.telling)
        names = Names(assignment.run)
        self._record = names.record(assignment.operator, context.replica, "checkpoint")
        self._loose = names.record(assignment.operator, context.replica, LOOSE)
        self._finished = names.record(assignment.operator, context.replica, "finished")
        self._transport = transport
        self._outbox = outbox = Outbox(assignment, context.replica)
        place = assignment.operator, context.replica
        self._reporter = reporter = Reporter(transport, names.report(*place), names.events(*place), self.counts)
        reporter.look = self._look
        transport.beat = reporter.beat
        self._told: set[str] = set()
        self._lend: Lender | None = None
        self._packings: tuple[Packing, ...] = ()
        self._log = log = FailureLog(context.logger)
        self._effects = effects = Effects(assignment, context, outbox, transport)
        self._hearing = hearing = Hearing(
            assignment, transport, outbox, reporter, parameters, effects.forget, names.answers(*place)
        )
        outbox.views = views = Views(arenas, assignment.most_kept, context.logger)
        outbox.arena = arena = self._arena(assignment, context, arenas)
        # what a checkpoint has in it must outlast shared memory, and what a source is told to forget
        must_last = kernel.acknowledge is not None
        packing = Packing(assignment, outbox)
        sharing = packing if arena is None else Packing(
            assignment, outbox, copies=lambda: must_last or (effects.active and not assignment.is_source),
            told=self._tell_once,
        )  # fmt: skip
        self._packings = tuple({id(one): one for one in (packing, sharing)}.values())
        context.is_source, context.updates = assignment.is_source, kernel.updates
        if kernel.reduction is not None:
            from interactem.runtime.kinds.reduce.reducing import Reducing, gathering  # others do not pay for it

            kernel, reducer = gathering(kernel, kernel.reduction, assignment, context, clock)
        context.shared_input = any(entry.partitions < assignment.replicas for entry in assignment.inputs)
        # what worker processes need around them they set up themselves
        here = replace(kernel, dependencies=(), make=None, loops=False) if kernel.mode.processes else kernel
        self._dependencies = Dependencies(here, context)
        self._caller = caller = Caller(kernel, context, packing.ports, assignment.timeout, arm=arm)
        self._tracing = tracing
        if tracing is not None:
            caller.invoke = tracing.around(caller.invoke, context.operator)
        self._source: Source | None = None
        if assignment.is_source:
            self._source = Source(assignment, caller, sharing, context, hearing, outbox, effects, reporter, log)
        beside = self._source.send_beside if self._source is not None else None
        triggers = Triggers(caller, packing, context, hearing, outbox, effects, reporter, log, beside)
        hearing.on_poke = triggers.take
        if kernel.model is not None:
            hearing.check = partial(validated, kernel.model)
        retries = Retries(assignment, context.replica, reporter, log, effects.store, clock)
        self._reducing: Reducing | None = None
        if kernel.reduction is not None:
            windows = Caller(kernel.reduction.kernel, context, packing.ports, assignment.timeout, arm=arm)
            if tracing is not None:
                windows.invoke = tracing.around_windows(windows.invoke, f"{context.operator} window")
            self._reducing = Reducing(
                assignment, reducer, windows, packing, context, hearing, effects, reporter, retries, log, slot
            )
            triggers.tell_windows = self._reducing.tell_now
        takes = (
            assignment, caller, sharing, transport, context, hearing, outbox, effects, retries,
            self.counts, slot, views,
        )  # fmt: skip
        self._inputs = (InOrder if any(entry.ordered for entry in assignment.inputs) else Inputs)(*takes)
        self._flights: Flights | None = None
        if not kernel.one_by_one and not assignment.is_source:
            self._flights = flights = Flights(*takes)
            flights.prepare(kernel, partial(workers_for, caller, context), log.log, limit_of(caller), arm, tracing)
            if flights.poke is not None:
                triggers.invoke = flights.poke if tracing is None else tracing.around(flights.poke, context.operator)
        if arena is not None:
            self._lend = sharing.lend
            arena.patience = Waiting(caller, slot, reporter, outbox, hearing)
        self._seen, self._seen_at = 0, time.monotonic()
        self._early: deque[Delivery] = deque()  # what came while the first values of side inputs were waited for
        self._side_inputs = sides = SideInputs(assignment, transport, context.side_inputs)
        hearing.on_side_input = sides.hear
        self._updating: Updating | None = None
        if kernel.updates:
            self._updating = Updating(assignment, caller, hearing, outbox, reporter, log)
        self._ending: Ending | None = None
        if kernel.finish is not None:
            last = Caller(kernel.finish, context, packing.ports, assignment.timeout, arm=arm)
            if tracing is not None:
                last.invoke = tracing.around(last.invoke, f"{context.operator} finish")
            self._ending = Ending(assignment, last, packing, context, hearing, effects, reporter, log)

    def _arena(self, assignment: Assignment, context: Context, arenas: Path | None) -> Arena | None:
        """This replica's own; None where it has none, or cannot have it: then everything goes through the broker."""
        if not assignment.arena or arenas is None:
            return None
        edges = [edge for output in assignment.outputs if output.shm for edge in output.edges]
        try:
            return Arena(arenas / arena_name(assignment.operator, context.replica), assignment.arena, edges)
        except (OSError, ValueError) as error:
            self._tell_once(f"there can be no arena: {error}")
            return None

    def _tell_once(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            self._reporter.event("shm", {"reason": f"messages go through the broker: {why}"})

    def run(self) -> None:
        """Returns when everything is stored and the engine knows that this replica is done."""
        lender.set(self._lend)
        try:
            self._dependencies.set_up()
            if self._flights is not None:
                self._flights.start()
            self._open()
            self._reporter.report()
            self._wait_for_side_inputs()
            if self._source is not None:
                self._source.produce()
            elif self._updating is not None:
                self._updating.run()
            else:
                self._consume()
            self._store_everything()
            if not self._hearing.stopped:
                self._finish()
        except (SourceError, FinishError, StateError, SideInputError):
            self._reporter.report()
            raise
        finally:
            self._log.flush()
            if self._tracing is not None:
                self._tracing.close()
            if self._flights is not None:
                self._flights.close()
            self._dependencies.tear_down()
            self._caller.close()
            if self._reducing is not None:
                self._reducing.close()

    def stop(self) -> None:
        """End soon, with everything stored that was done, but not at the stream's end: another goes on from here."""
        self._hearing.stop()
        self._dependencies.cancel()

    def _look(self) -> None:
        """Read off what others count."""
        self.counts.in_flight = self._transport.held
        self.counts.sent_bytes = self._outbox.stored_bytes
        self.counts.unwanted = sum([packing.unwanted for packing in self._packings])

    def _open(self) -> None:
        """Take up what an earlier incarnation left, and what the engine has said so far."""
        records = self._transport.open(self._outbox)
        checkpoint = records.pop(self._record, None)
        if checkpoint is not None:
            self._effects.read(checkpoint)
        if (loose := records.pop(self._loose, None)) is not None:
            (self._effects.clear if self._updating is None else self._updating.take_up)(loose)
        for subject, payload in records.items():
            self._hearing.hear(Record(subject, payload))
        self._effects.resume(ended=self._hearing.told_to_finish or self._source is not None)
        if self._reducing is not None:
            self._reducing.begin()

    def _wait_for_side_inputs(self) -> None:
        """Until each has a value. What is delivered meanwhile is worked off then. Raises `SideInputError`."""
        until = time.monotonic() + self._side_inputs.patience
        while self._side_inputs.missing and not self._hearing.told_to_finish:
            if (left := until - time.monotonic()) <= 0:
                raise self._side_inputs.error()
            delivery = self._hearing.receive(min(left, REPORT_SECONDS))
            if delivery is not None:
                self._early.append(delivery)
            self._reporter.now_and_then()

    def _consume(self) -> None:
        if self._flights is not None:
            while self._early:
                self._flights.take(self._early.popleft())
            self._flights.consume(self._patience, self._in_between)
            return
        hearing = self._hearing
        while not hearing.stopped and (self._early or not hearing.ending):
            delivery = self._early.popleft() if self._early else hearing.receive(self._patience())
            if delivery is not None:
                self._inputs.take(delivery)
            self._in_between()

    def _in_between(self) -> None:
        if self._reducing is not None:
            self._reducing.look()
        self._inputs.look()
        self._hearing.take_pokes()
        self._effects.commit_if_due(more=self._transport.waiting, at_rest=self._at_rest())
        self._reporter.now_and_then()

    def _at_rest(self) -> bool:
        """Whether nothing is to come any more, and nothing has come for a moment: no checkpoint is put off then."""
        now = time.monotonic()
        if self._seen != self.counts.received:
            self._seen, self._seen_at = self.counts.received, now
        return self._hearing.closed and now - self._seen_at >= _REST_SECONDS

    def _patience(self) -> float:
        """Seconds to wait for the next delivery before there is something else to do."""
        commit = self._effects.patience
        quiet = REPORT_SECONDS if self._reporter.due > 0 else _LONGEST_WAIT
        windows = None if self._reducing is None else self._reducing.patience
        held = self._inputs.patience
        rest = _REST_SECONDS if commit is not None and self._hearing.closed else None
        return min(seconds for seconds in (quiet, commit, windows, held, rest) if seconds is not None)

    def _store_everything(self) -> None:
        self._effects.commit_pending()
        if self._source is not None:
            self._hearing.hear_readers()
        self._transport.finish()
        if self._source is not None:
            self._source.acknowledge()

    def _finish(self) -> None:
        """The finish function, everything stored, and a record that says so."""
        if self._reducing is not None:
            self._reducing.end()
            self._transport.finish()
        if self._ending is not None:
            self._ending.call()
            self._transport.finish()
        if self._tracing is not None:
            self._tracing.close()
        self._dependencies.tear_down()  # once the engine knows, the process may be ended
        self._reporter.report()
        if self._hearing.stopped:
            return
        ended = {"drained": self._hearing.drained, "counts": self.counts.to_value()}
        self._outbox.put(Work(then=[Store(self._finished, json.dumps(ended).encode())]))
        self._transport.finish()

"""Inputs: each message of a delivery is given to the kernel, one after the other; what it makes is kept or sent."""

from __future__ import annotations

import time
from typing import Any

from interactem.runtime.batches import Batch
from interactem.runtime.deliveries import Deliveries
from interactem.runtime.demand import BATCH_MESSAGES
from interactem.runtime.effects import COMMIT_BYTES, Applied, ranges
from interactem.runtime.errors import OvertakenError, StateError
from interactem.runtime.failures import RAISED, Failure
from interactem.runtime.ids import NO_SERIES, Series, output_id
from interactem.runtime.messages import BytesMessage
from interactem.runtime.outbox import BATCH_BYTES, Sent, weight_of
from interactem.runtime.transports import Delivery

_SEND_SECONDS = 0.02
"""What is made in about this time is sent together."""


class Inputs(Deliveries):
    """Takes deliveries, one after the other."""

    @property
    def patience(self) -> float | None:
        """Seconds until there may be something to do without a delivery; None where there is nothing."""
        return None

    def look(self) -> None:
        """Do what it is time for."""

    def take(self, delivery: Delivery) -> None:
        """Work a delivery off, and settle it with what was made from it."""
        batch = self._open(delivery)
        if batch is None:
            return
        self._count(batch)
        started, self._waited = time.perf_counter(), 0.0
        arena_waited = self._arena_waited
        kept = self._work_off(batch)
        if self._hearing.stopped:
            return  # nothing of it is settled: it is handed to whoever comes next
        if batch.messages:
            seconds = time.perf_counter() - started - self._waited - (self._arena_waited - arena_waited)
            self._counts.timed(len(batch.messages), seconds)
        if self._leases:
            self._leases = []
            batch.forget()
            self._context._message = None
        self._settle(batch, kept=kept)
        self._hearing.wait_for_room()

    @property
    def _arena_waited(self) -> float:
        return 0.0 if self._outbox.arena is None else self._outbox.arena.waited

    # one message after the other

    def _work_off(self, batch: Batch) -> bool:
        """Give every message to the kernel that has not had its effect. Returns whether one was set aside."""
        aside = False
        self._slot.begin(batch.delivery.edge, batch.runs, batch.failed + 1)
        for indexes in self._wanted(batch):
            while indexes and not self._hearing.stopped:
                failure = self._give(batch, indexes)
                if failure is None:
                    break
                if self._is_tried_at_once(batch, failure):
                    self._counts.retried += 1
                    batch.failed, batch.messages = failure.attempts, batch.fresh()
                    self._slot.begin(batch.delivery.edge, batch.runs, batch.failed + 1)
                    continue
                self._retries.set_aside(batch, self._index, failure, self._check)
                aside = True
                indexes = range(self._index + 1, indexes.stop)
        self._slot.leave()
        return aside or self._crashed(batch)

    def _wanted(self, batch: Batch) -> list[range]:
        unseen = self._effects.unseen(batch)
        if not self._hearing.crashes:
            return unseen
        return ranges(index for indexes in unseen for index in indexes if self._crash_of(batch, index) is None)

    def _crashed(self, batch: Batch) -> bool:
        """Set aside what ended a process. Returns whether there was any."""
        if not self._hearing.crashes:
            return False
        edge, found = batch.delivery.edge, False
        for indexes in self._effects.unseen(batch):
            for index in indexes:
                if (crash := self._crash_of(batch, index)) is not None:
                    self._retries.set_aside(batch, index, crash, self._check)
                    del self._hearing.crashes[edge, batch.id(index)]
                    found = True
        return found

    def _give(self, batch: Batch, indexes: range) -> Failure | None:
        """Give these messages to the kernel, up to the first that fails. `_index` is then its."""
        made: list[Sent] = []
        self._context.attempt = batch.failed + 1
        try:
            while indexes and not self._hearing.stopped:
                done = self._call_each(batch, indexes, made)
                self._keep(batch, range(indexes.start, done), made)
                made, indexes = [], range(done, indexes.stop)
                if indexes and not self._hearing.stopped:
                    self._effects.commit_pending()
            return None
        except (StateError, OvertakenError):
            raise  # no message is to blame for it
        except RAISED as error:
            self._outbox.check()
            self._slot.leave()
            self._check()
            failure = Failure.of(error, batch.failed + 1, self._context.mask.text)
        self._retries.log(f"message {batch.id(self._index)}", failure)
        self._keep(batch, range(indexes.start, self._index), made)
        self._roll_back(batch)
        return failure

    def _roll_back(self, batch: Batch) -> None:
        failed = self._index
        if self._context.state_used and not self._caller.kernel.traceless:
            unmade = self._effects.roll_back(self._apply_again)
            self._counts.sent -= unmade
            self._slot.begin(batch.delivery.edge, batch.runs, batch.failed + 1)
            self._context.attempt = batch.failed + 1
        self._index = failed

    def _call_each(self, batch: Batch, indexes: range, made: list[Sent], *, again: bool = False) -> int:
        """Call the kernel with each message and collect in `made` what it makes; the loop that everything goes through.

        Whatever a call raises, nothing of this call is in `made`. Returns the index that it got to: not the last one
        when so much was made that it has to be stored first, or when we are to stop.
        """
        call, pack_into, parameters = self._caller.invoke, self._packing.pack_into, self._hearing.parameters
        current, context, limited = self._slot.current, self._context, bool(self._caller.hard_limit)
        messages, ids = batch.messages, batch.ids
        edge, at_once = batch.delivery.edge, self._at_once()
        weight = 0
        timed = self._sampler.first(indexes)
        of: Series | None = None
        made_in = NO_SERIES  # what is made from messages of the series `of`
        for index in indexes:
            self._index = index
            context._message = message = messages[index]
            current[0] = index + 1
            if limited:
                self._caller.arm()
            try:
                if index != timed:
                    result = call(message, parameters)
                else:
                    result = self._sampler.time(call, message, parameters)
                    timed = self._sampler.after(index)
                if type(result) is BytesMessage and result.target is None:
                    series, number = ids[index]
                    if series is not of:
                        of, made_in = series, output_id(series, number, edge, 0).series
                    weight += pack_into(made, result, made_in, number, message)
                elif result is not None:
                    weight += self._add_several(result, made, batch, index, again=again)
            finally:
                if limited:
                    self._caller.disarm()
            if (len(made) >= at_once or weight > BATCH_BYTES) and not again:
                if self._send(made):
                    weight = 0
                if weight > COMMIT_BYTES or self._hearing.stopped:
                    return index + 1
        return indexes.stop

    def _at_once(self) -> int:
        """How many messages are sent together, so that the first does not wait long for the last."""
        kernel = self._counts.kernel
        return max(1, min(BATCH_MESSAGES, int(_SEND_SECONDS / kernel))) if kernel else 1

    def _add_several(self, results: Any, made: list[Sent], batch: Batch, index: int, *, again: bool) -> int:
        """What one call made, where it is not just one message for every port. Returns the weight added to `made`."""
        (series, number), edge = batch.ids[index], batch.delivery.edge
        begun = len(made)
        at_once = self._caller.kernel.generator and not again
        weight = 0
        try:
            for count, result in enumerate(self._caller.messages(results)):
                name = output_id(series, number, edge, count)
                weight += self._packing.pack_into(made, result, *name, batch.messages[index])
                if at_once and self._send(made):  # their ids make a second time harmless
                    begun = weight = 0
            return weight
        except BaseException:
            del made[begun:]
            raise

    def _send(self, made: list[Sent]) -> bool:
        """Send what was made so far, unless it has to be kept until the next checkpoint."""
        self._check()
        if self._effects.active:
            return False
        self._counts.sent += len(made)
        if made:
            self._outbox.send(made.copy(), weight_of(made))
            made.clear()
        self._waited += self._stand()
        return True

    def _keep(self, batch: Batch, indexes: range, made: list[Sent]) -> None:
        """The calls with these messages are over, and this is what they made."""
        if self._send(made):
            return
        self._counts.sent += len(made)
        self._effects.keep(made, weight_of(made))
        self._effects.apply(batch, indexes)

    def _apply_again(self, applied: Applied) -> None:
        """For the state's sake. What fails here ends the process: the next one starts from the last checkpoint."""
        delivery, indexes = applied
        batch = Batch.open(delivery, self._ports[delivery.edge])
        if batch.reference is not None:
            batch.fill(self._transport.read_blob(batch.reference.subjects(self._names, delivery.edge)))
        if not batch.look(self._views):
            raise OvertakenError
        self._slot.begin(delivery.edge, batch.runs, batch.failed + 1)
        self._context.attempt = batch.failed + 1
        made: list[Sent] = []
        self._call_each(batch, indexes, made, again=True)
        self._slot.leave()
        self._keep(batch, indexes, made)

"""Inputs of which some keep their order: a message that fails holds back what comes behind it with its key.

It is tried again in its place. Until it has succeeded, or is a dead letter, those behind it wait in this process; other
keys go on. A delivery is not settled before all in it is done with, so whoever comes after a death has all of it again,
and from the transport in its order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from interactem.runtime.failures import Failure, is_last
from interactem.runtime.flight.items import Opened
from interactem.runtime.inputs import Inputs
from interactem.runtime.routing import key_of
from interactem.runtime.transports import Delivery

__all__ = ["InOrder"]

_Key = tuple[int, bytes]
"""An edge, and a key there."""


@dataclass(slots=True)
class _Held:
    """The messages of a key that wait, by delivery and index. The first has `failed` so often, and goes at `at`."""

    waiting: deque[tuple[Opened, int]] = field(default_factory=deque)
    failed: int = 0
    at: float = 0.0


class InOrder(Inputs):
    """Takes deliveries, one after the other; `look` goes on with what waits."""

    def __init__(self, *takes: Any) -> None:
        super().__init__(*takes)
        self._paths = {entry.edge: entry.key for entry in self._assignment.inputs if entry.ordered}
        self._held: dict[_Key, _Held] = {}
        self._opened: dict[int, Opened] = {}

    @property
    def patience(self) -> float | None:
        if not self._held:
            return None
        return max(0.0, min([held.at for held in self._held.values()]) - time.monotonic())

    def take(self, delivery: Delivery) -> None:
        batch = self._open(delivery)
        if batch is None:
            return
        self._count(batch)
        started, self._waited = time.perf_counter(), 0.0
        wanted = self._effects.unseen(batch)
        opened = Opened(batch, sum(map(len, wanted)))
        self._opened[id(opened)] = opened
        self._know_leases()
        if delivery.edge in self._paths:
            for indexes in wanted:
                self._pass(opened, indexes)
        else:
            opened.aside = self._work_off(batch)
            opened.left = 0
        if self._hearing.stopped:
            return  # nothing of it is settled: it is handed to whoever comes next
        if batch.messages:
            self._counts.timed(len(batch.messages), time.perf_counter() - started - self._waited)
        self._settle_done([opened])

    def look(self) -> None:
        """Go on with the keys whose time has come."""
        now = time.monotonic()
        for key in [key for key, held in self._held.items() if held.at <= now]:
            held = self._held[key]
            touched = {id(opened): opened for opened, _ in held.waiting}
            self._go_on(held)
            if not held.waiting:
                del self._held[key]
            if not self._hearing.stopped:
                self._settle_done(touched.values())

    # what comes

    def _pass(self, opened: Opened, indexes: range) -> None:
        """Give these messages to the kernel, but for those that have to wait."""
        index = indexes.start
        while index < indexes.stop and not self._hearing.stopped:
            if (held := self._held_by(opened, index)) is not None:
                held.waiting.append((opened, index))
            elif (crash := self._crash(opened, index)) is not None:
                self._fail(opened, index, crash)
            else:
                stop = next((n for n in range(index + 1, indexes.stop) if self._stands(opened, n)), indexes.stop)
                failure = self._give_some(opened, range(index, stop))
                index = stop - 1 if failure is None else self._index
                if failure is not None:
                    self._fail(opened, index, failure)
            index += 1

    def _stands(self, opened: Opened, index: int) -> bool:
        """Whether a message is not simply the next one."""
        if not self._held and not self._hearing.crashes:
            return False
        return self._held_by(opened, index) is not None or self._crash_of(opened.batch, index) is not None

    def _held_by(self, opened: Opened, index: int) -> _Held | None:
        return self._held.get(self._key(opened, index)) if self._held else None

    def _key(self, opened: Opened, index: int) -> _Key:
        edge = opened.batch.delivery.edge
        path = self._paths[edge]
        return edge, key_of(opened.batch.untouched(index), path) if path else b""

    def _crash(self, opened: Opened, index: int) -> Failure | None:
        """The attempt at a message that has ended a process; from now on it is counted."""
        crash = self._crash_of(opened.batch, index)
        if crash is not None:
            del self._hearing.crashes[opened.batch.delivery.edge, opened.batch.id(index)]
        return crash

    def _give_some(self, opened: Opened, indexes: range) -> Failure | None:
        batch = opened.batch
        self._slot.begin(batch.delivery.edge, batch.runs, batch.failed + 1)
        failure = self._give(batch, indexes)
        self._slot.leave()
        opened.left -= (indexes.stop if failure is None else self._index) - indexes.start
        return failure

    def _fail(self, opened: Opened, index: int, failure: Failure) -> None:
        """An attempt at a message has failed, behind which nothing of its key waits so far."""
        held = _Held(deque([(opened, index)]))
        if self._again(held, failure):
            self._held[self._key(opened, index)] = held

    def _again(self, held: _Held, failure: Failure) -> bool:
        """Whether the first of a key, which has failed, is tried again; else it is a dead letter, and gone."""
        opened, index = held.waiting[0]
        if is_last(failure.attempts, self._assignment.max_attempts):
            self._retries.set_aside(opened.batch, index, failure, self._check)
            self._effects.give_up(opened.batch, index)
            opened.aside = True
            opened.left -= 1
            self._leave(held)
            return False
        held.failed = failure.attempts
        held.at = time.monotonic() + self._retries.in_its_place(opened.batch, index, failure)
        return True

    # what waits

    def _go_on(self, held: _Held) -> None:
        """The messages of a key, one after the other, up to the first that fails and is tried again."""
        while held.waiting and not self._hearing.stopped:
            failure = self._try(held)
            if failure is None:
                self._leave(held)
            elif self._again(held, failure):
                return

    def _leave(self, held: _Held) -> None:
        held.waiting.popleft()
        held.failed = 0

    def _try(self, held: _Held) -> Failure | None:
        opened, index = held.waiting[0]
        batch = opened.batch
        if self._effects.active and self._effects.checkpoint.applied.seen(batch.delivery.edge, *batch.ids[index]):
            opened.left -= 1  # a copy of it came before
            return None
        before = batch.failed
        if held.failed:
            batch.failed = held.failed
            batch.messages[index] = batch.fresh()[index]
        try:
            if (crash := self._crash(opened, index)) is not None:
                return crash
            failure = self._give_some(opened, range(index, index + 1))
        finally:
            batch.failed = before
        if failure is None and held.failed and self._context.state_used:
            # it is not to be given to the kernel once more, for the state's sake, as if it had never failed
            self._effects.wait()
            self._effects.commit()
        return failure

    # what is done with

    def _settle_done(self, opened: Iterable[Opened]) -> None:
        for one in opened:
            if one.left or self._opened.pop(id(one), None) is None:
                continue
            if one.batch.leases:
                one.batch.forget()
                self._context._message = None
                self._know_leases()
            self._settle(one.batch, kept=one.aside)
        self._hearing.wait_for_room()

    def _know_leases(self) -> None:
        self._leases = [lease for opened in self._opened.values() for lease in opened.batch.leases]

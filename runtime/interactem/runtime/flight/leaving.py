"""What leaves: what was made of a message is sent, or kept until the next checkpoint, and its delivery settled."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from interactem.runtime.deliveries import Deliveries
from interactem.runtime.demand import BATCH_MESSAGES
from interactem.runtime.effects import ranges
from interactem.runtime.errors import OvertakenError
from interactem.runtime.failures import Failure, is_last
from interactem.runtime.flight.items import Item, Opened, Told
from interactem.runtime.flight.order import Order
from interactem.runtime.flight.queue import Queue
from interactem.runtime.ids import NO_SERIES, Series, output_id
from interactem.runtime.messages import BytesMessage
from interactem.runtime.outbox import BATCH_BYTES, Sent, weight_of

__all__ = ["Copies", "Failed", "Leaving", "by_delivery"]

_GONE = BytesMessage()


class Failed:
    """What stands for the messages of a failed attempt; `alone` where others may be to blame."""

    __slots__ = ("alone", "failure")

    def __init__(self, failure: Failure, alone: bool) -> None:
        self.failure = failure
        self.alone = alone


@dataclass(slots=True)
class Copies:
    """A message that is on its way, and the same message once more, which waits for what becomes of it."""

    first: Item
    others: list[Item] = field(default_factory=list)


class Leaving(Deliveries):
    """Takes what has become of each message on. `_queue` is where a message waits for another attempt."""

    _queue: Queue
    _order: Order | None
    _log: Callable[[str, Failure], None]
    _opened: dict[int, Opened]
    _keys: dict[tuple[Any, ...], Copies]
    """Of what has not had its effect yet."""
    _of: tuple[Series, int] = NO_SERIES, -1
    _made_in: Series = NO_SERIES
    """What is made from messages of the series and edge `_of`."""

    def _checked(self, outcome: Any) -> Any:
        """The messages in what was made of one message, or the exception that says that they are none."""
        if type(outcome) is BytesMessage and outcome.target is None:
            return [outcome]
        if isinstance(outcome, (Exception, Told)):
            return outcome
        try:
            return self._caller.checked(outcome)
        except Exception as error:
            return error

    def _failure(self, item: Item, error: Exception | Told) -> Failure:
        hide = self._context.mask.text
        if isinstance(error, Told):
            return error.failure(item.failed + 1, hide)
        return Failure.of(error, item.failed + 1, hide)

    def _leave(self, pairs: deque[tuple[Item, Any]]) -> None:
        """These are done with: what was made of them is sent, or kept until the next checkpoint."""
        made: list[Sent] = []
        done: list[Item] = []
        weight = 0
        while pairs:
            item, outcome = pairs.popleft()
            if not isinstance(outcome, Failed):
                outcome, added = self._pack(made, item, outcome)
                weight += added
            item.message = _GONE
            if isinstance(outcome, Failed):
                self._finish(made, done)
                if self._fail(item, outcome.failure, alone=outcome.alone) and self._order is not None:
                    self._order.back(pairs, item.place)
                    return
            else:
                done.append(item)
            if len(made) >= BATCH_MESSAGES or weight > BATCH_BYTES:
                outcome, weight = None, 0
                self._finish(made, done)
        outcome = None
        self._finish(made, done)

    def _pack(self, made: list[Sent], item: Item, messages: list[BytesMessage]) -> tuple[Failed | None, int]:
        """Add what was made of one message to `made`, all of it or none; and its weight."""
        if item.span is not None:
            item.span.mark(messages, item.message)
        (series, number), edge, begun, weight = item.opened.batch.ids[item.index], item.edge, len(made), 0
        try:
            for count, message in enumerate(messages, item.sent):
                if count:
                    name = output_id(series, number, edge, count)
                    weight += self._packing.pack_into(made, message, *name, item.message)
                    continue
                if (series, edge) != self._of:
                    self._of, self._made_in = (series, edge), output_id(series, number, edge, 0).series
                weight += self._packing.pack_into(made, message, self._made_in, number, item.message)
            return None, weight
        except OvertakenError:
            raise
        except Exception as error:
            self._outbox.check()
            del made[begun:]
            return Failed(self._failure(item, error), False), 0

    def _finish(self, made: list[Sent], done: list[Item]) -> None:
        """Have sent, or kept, what was made, and settle what is done with altogether."""
        self._check()
        self._counts.sent += len(made)
        if self._effects.active:
            self._effects.keep(made, weight_of(made))
            for opened, indexes in by_delivery(done):
                for found in ranges(sorted(indexes)):
                    self._effects.apply(opened.batch, found)
        elif made:
            self._outbox.send(made.copy(), weight_of(made))
        made.clear()
        for opened, indexes in by_delivery(done):
            opened.left -= len(indexes)
            self._settle_done([opened])
        for item in done:
            self._has_left(item)
        done.clear()
        self._hearing.wait_for_room()

    def _fail(self, item: Item, failure: Failure, *, alone: bool) -> bool:
        """An attempt at a message has failed, and nothing of it leaves. Returns whether it is tried again from here."""
        opened = item.opened
        batch = opened.batch
        self._log(f"message {batch.id(item.index)}", failure)
        again = self._order is not None and not is_last(failure.attempts, self._assignment.max_attempts)
        if again or self._is_tried_at_once(batch, failure):
            delay = self._retries.in_its_place(batch, item.index, failure) if again else 0.0
            self._counts.retried += 0 if again else 1
            self._again(item, failure, alone, time.monotonic() + delay)
            return True
        self._retries.set_aside(batch, item.index, failure, self._check, alone=alone or item.alone)
        opened.aside = True
        opened.left -= 1
        self._settle_done([opened])
        self._has_left(item)
        return False

    def _again(self, item: Item, failure: Failure, alone: bool, at: float) -> None:
        item.failed, item.alone, item.sent = failure.attempts, item.alone or alone, 0
        item.message = item.opened.batch.fresh()[item.index]
        self._queue.add_later(item, at)

    def _settle_done(self, opened: Iterable[Opened]) -> None:
        """Settle the deliveries of which every message is done with."""
        for one in opened:
            if one.left or self._opened.pop(id(one), None) is None:
                continue
            if one.batch.leases:
                one.batch.forget()
                self._leases = [lease for other in self._opened.values() for lease in other.batch.leases]
            self._settle(one.batch, kept=one.aside)

    def _has_left(self, item: Item) -> None:
        """It has had its effect, or will be tried by whoever gets it: copies of it need not wait for it."""
        if self._effects.active:
            copies = self._keys.pop(item.key, None)
            for copy in reversed(copies.others if copies is not None else []):
                self._queue.add_first(copy)


def by_delivery(items: Iterable[Item]) -> Iterable[tuple[Opened, list[int]]]:
    """The indexes of messages by their delivery."""
    found: dict[int, tuple[Opened, list[int]]] = {}
    for item in items:
        found.setdefault(id(item.opened), (item.opened, []))[1].append(item.index)
    return found.values()

"""What generators yield in calls that others go on beside: sent as it is yielded, in order once it is their turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from interactem.runtime.flight.items import Flight, Workers
from interactem.runtime.flight.leaving import Failed, Leaving
from interactem.runtime.flight.parts import Parts
from interactem.runtime.messages import BytesMessage
from interactem.runtime.outbox import Sent, weight_of

__all__ = ["Yielding"]


class Yielding(Leaving):
    """Takes what the calls of `_flying` yield. `_event` wakes the replica's thread, unless it is `_receiving`."""

    _workers: Workers
    _flying: list[Flight]
    _event: threading.Event
    _receiving: bool
    _yielding: deque[Flight]
    """Of which something was yielded that nobody has taken."""
    _inline: bool
    _broken: Exception | None
    """What has gone wrong in the middle of a call that is not to blame for it."""

    def _has_yielded(self, flight: Flight) -> None:
        """From any thread."""
        self._yielding.append(flight)
        if not self._inline:
            self._stir()
            return
        try:
            self._take_yielded()  # the replica's thread is in the call
        except Exception as error:  # which is not to blame for it
            self._broken = error
            self._end_parts()

    def _stir(self) -> None:
        self._event.set()
        if self._receiving:
            self._receiving = False
            self._transport.wake()

    def _take_yielded(self) -> None:
        """Send what generators have yielded so far, in order that of the one whose turn it is."""
        if self._order is None:
            for _ in range(len(self._yielding)):
                self._send_yielded(self._yielding.popleft())
            return
        self._yielding.clear()
        for flight in self._flying:
            if flight.items[0].place == self._order.next:
                self._send_yielded(flight)

    def _send_yielded(self, flight: Flight) -> None:
        parts = flight.parts
        if parts is None or parts.ended or not (yielded := parts.take()):
            return
        if self._effects.active:  # since this call: it is sent when the call is over, as one with the state
            flight.held += yielded
            return
        [item] = flight.items
        made: list[Sent] = []
        for part in yielded:
            messages = self._checked_parts([part])
            if isinstance(messages, Exception):
                flight.refused = self._failure(item, messages)
            elif (failed := self._pack(made, item, messages)[0]) is not None:
                flight.refused = failed.failure
            else:
                item.sent += len(messages)
                continue
            parts.end()
            break
        self._check()
        self._counts.sent += len(made)
        if made:
            self._outbox.send(made, weight_of(made))
        if self._inline:
            self._stand()
        else:
            self._hearing.wait_for_room()

    def _checked_parts(self, parts: Sequence[Any]) -> list[BytesMessage] | Exception:
        try:
            return list(self._caller.messages(parts))
        except Exception as error:
            return error

    def _end_parts(self) -> None:
        """Nobody waits any more for what generators yield."""
        for flight in self._flying:
            if flight.parts is not None:
                flight.parts.end()

    def _end_yielding(self, flight: Flight, parts: Parts) -> None:
        """What is left of a generator that has ended: in order it is kept for its turn."""
        [item], [outcome] = flight.items, flight.outcomes
        if self._order is None or item.place == self._order.next:
            self._send_yielded(flight)
        if flight.refused is not None:
            flight.outcomes = [Failed(flight.refused, False)]
        elif parts.ended:
            flight.items, flight.outcomes = [], []  # it was cut short, and is not settled
        elif outcome is None:
            flight.outcomes = [self._checked_parts([*flight.held, *parts.take()])]

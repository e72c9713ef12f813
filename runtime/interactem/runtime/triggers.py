"""Triggers: somebody pokes a replica, which calls its kernel without a message and says what came of it.

A poke is sent again and again until the replica says that it has taken it, which it does once. Nothing of it is
stored: one that the replica does not live to answer is not made again, and whoever has poked hears no answer. What
the call makes is stored, and its state too, before it is answered.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from interactem.runtime.calls import Caller
from interactem.runtime.context import Context
from interactem.runtime.effects import Effects
from interactem.runtime.errors import StateError
from interactem.runtime.failures import RAISED, Failure
from interactem.runtime.flight.items import ToldError
from interactem.runtime.hearing import Hearing
from interactem.runtime.ids import source_id, trigger_name
from interactem.runtime.messages import BytesMessage
from interactem.runtime.outbox import Outbox, Sent
from interactem.runtime.packing import Packing
from interactem.runtime.reports import FailureLog, Reporter
from interactem.runtime.transports import Work

REMEMBERED = 1_000
"""So many pokes are known again when they come once more."""
NOT_TAKEN = (
    "its kernel takes no trigger: name `trigger` or `context` in its signature, of a batch kernel, and of the middle "
    "function of a staged one, `trigger`; let a reducer tell its windows `early`"
)


@dataclass(frozen=True, slots=True)
class Poke:
    """`id` is the poke's own; with `drain` the kernel is called until it returns nothing."""

    id: str
    trigger: str
    drain: bool = False

    def to_bytes(self) -> bytes:
        return json.dumps({"id": self.id, "trigger": self.trigger, "drain": self.drain}).encode()

    @classmethod
    def of(cls, payload: bytes) -> Self:
        """Raises `ValueError` for what is not a poke."""
        try:
            value = json.loads(payload)
            made = cls(value["id"], value["trigger"], value["drain"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"not a poke: {error}") from None
        if (type(made.id), type(made.trigger), type(made.drain)) != (str, str, bool):
            raise ValueError("not a poke: its values are not what they should be")
        return made


class Triggers:
    """Does what one replica is poked to.

    `send` is how a source sends what belongs to no position of it; everybody else sends as with a message.
    """

    def __init__(
        self,
        caller: Caller,
        packing: Packing,
        context: Context,
        hearing: Hearing,
        outbox: Outbox,
        effects: Effects,
        reporter: Reporter,
        log: FailureLog,
        send: Callable[[list[Sent], int], None] | None = None,
    ) -> None:
        self._caller = caller
        self._packing = packing
        self._context = context
        self._hearing = hearing
        self._outbox = outbox
        self._effects = effects
        self._counts = reporter.counts
        self._log = log
        self._send = send or self._send_as_usual
        self.invoke: Callable[[BytesMessage | None, dict[str, Any]], Any] = caller.invoke
        """How the kernel is called; a worker process is asked by who has some."""
        self.tell_windows: Callable[[str], dict[str, Any]] | None = None
        """What a reducer does in place of a call."""
        self._taken: deque[str] = deque(maxlen=REMEMBERED)

    def take(self, payload: bytes) -> None:
        try:
            poke = Poke.of(payload)
        except ValueError as error:
            self._context.logger.warning("%s", error)
            return
        self._hearing.answer({"id": poke.id, "taken": True})
        if poke.id in self._taken:
            return
        self._taken.append(poke.id)
        if not self._caller.kernel.pokable:
            self._hearing.answer({"id": poke.id, "calls": 0, "sent": 0, "error": NOT_TAKEN})
            return
        done = self._work_off(poke) if self.tell_windows is None else self.tell_windows(poke.trigger)
        # behind everything that was sent before: only what is stored is said to be done
        self._outbox.put(Work(done=lambda: self._hearing.answer({"id": poke.id, **done})))

    def _work_off(self, poke: Poke) -> dict[str, Any]:
        """Call the kernel as often as it is to be called; what came of it, as it is answered."""
        calls = sent = 0
        try:
            while not self._hearing.stopped:
                self._effects.commit_pending()  # what a failing call undoes is its own alone
                made, weight = self._call(poke, calls)
                calls += 1
                sent += len(made)
                self._send(made, weight)
                if not (poke.drain and made):
                    break
                self._hearing.wait_for_room()
        except StateError:
            raise
        except RAISED as error:
            self._outbox.check()
            self._effects.restart_state()
            hide = self._context.mask.text
            failure = error.told.failure(1, hide) if isinstance(error, ToldError) else Failure.of(error, 1, hide)
            self._log.log(f"trigger {poke.trigger}", failure)
            return {"calls": calls + 1, "sent": sent, "error": failure.error, "traceback": failure.traceback}
        return {"calls": calls, "sent": sent}

    def _call(self, poke: Poke, number: int) -> tuple[list[Sent], int]:
        """What one call makes, and its weight: all of it, or none."""
        context, message = self._context, self._context._message
        context.trigger, context._message, context.attempt = poke.trigger, None, 1
        source = trigger_name(context.operator, context.replica, poke.id)
        made: list[Sent] = []
        weight = 0
        try:
            self._caller.arm()
            results = self._caller.messages(self.invoke(None, self._hearing.parameters))
            for index, result in enumerate(results):
                weight += self._packing.pack_into(made, result, *source_id(source, number, index))
        finally:
            self._caller.disarm()
            context.trigger, context._message = None, message
        return made, weight

    def _send_as_usual(self, made: list[Sent], weight: int) -> None:
        self._counts.sent += len(made)
        if self._effects.active:
            self._effects.keep(made, weight)
            self._effects.wait()
            self._effects.commit()
        elif made:
            self._outbox.send(made, weight)

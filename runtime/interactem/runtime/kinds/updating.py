"""A side input's replica, and what those who name it have heard: how a value gets from the one to the others.

The value is stored as a record of the side input's replica, in pieces where it is large. The engine passes the record
on to each operator that names it, so that a replica that starts later, or again, has it too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgpack

from interactem.runtime import blobs
from interactem.runtime import checkpoint as checkpoints
from interactem.runtime.assignment import Assignment
from interactem.runtime.blobs import HEADROOM, LOOSE, Reference, pack_references, unpack_references
from interactem.runtime.errors import SideInputError, WireError
from interactem.runtime.failures import RAISED, Failure, backoff
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Store, Transport, Work

if TYPE_CHECKING:
    from interactem.runtime.calls import Caller
    from interactem.runtime.hearing import Hearing
    from interactem.runtime.outbox import Outbox
    from interactem.runtime.reports import FailureLog, Reporter

__all__ = ["SideInputs", "Updating", "pack_value", "plain_value", "unpack_value"]

EVERY = 60.0
"""Seconds between two calls where nobody says."""
VALUE_BYTES = 16 * 2**20
SMALL_BYTES = 8_192
"""What is larger lies apart, so that all who read it are told of it by little."""
_LOOK_SECONDS = 1.0


def pack_value(value: Any) -> bytes:
    """Raises `SideInputError` for what cannot be stored."""
    try:
        packed = checkpoints.encode_state({"value": value})
    except WireError as error:
        what = str(error.__cause__ or error)
        advice = "return numbers, text, bytes, lists, dicts or numpy arrays"
        raise SideInputError(f"the value of a side input cannot be stored: {what}; {advice}") from None
    if len(packed) > VALUE_BYTES:
        raise SideInputError(f"the value of a side input has {len(packed):,} bytes; at most {VALUE_BYTES:,} are stored")
    return packed


def plain_value(value: Any) -> Any:
    """A value as JSON has it: arrays are lists."""
    if isinstance(value, dict):
        return {name: plain_value(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def unpack_value(packed: bytes) -> Any:
    """Raises `WireError` for what is none."""
    try:
        return checkpoints.decode_state(packed)["value"]
    except (ValueError, TypeError, KeyError, LookupError, SyntaxError, msgpack.exceptions.UnpackException) as error:
        raise WireError(f"not a value of a side input: {error!s:.200}") from error


class Updating:
    """One side input's replica: calls its kernel on its schedule, and stores what is new."""

    def __init__(
        self,
        assignment: Assignment,
        caller: Caller,
        hearing: Hearing,
        outbox: Outbox,
        reporter: Reporter,
        log: FailureLog,
    ) -> None:
        self._assignment = assignment
        self._caller = caller
        self._hearing = hearing
        self._outbox = outbox
        self._reporter = reporter
        self._log = log
        self._names = Names(assignment.run)
        self._replica = caller.context.replica
        self._every = caller.kernel.every or assignment.every or EVERY
        self._packed = b""
        self._apart: list[Reference] = []
        """Where the latest values are that are stored apart, the oldest first."""
        self._failures = 0

    def run(self) -> None:
        """Until the stream has ended."""
        due = 0.0
        seen: dict[str, Any] = {}
        while not self._hearing.told_to_finish:
            now = time.monotonic()
            if now >= due or self._hearing.parameters != seen:
                seen = dict(self._hearing.parameters)
                due = now + (self._every if self._update() else min(self._every, backoff(self._failures)))
            self._hearing.pause(max(0.0, min(due - time.monotonic(), _LOOK_SECONDS)))

    def _update(self) -> bool:
        """Whether the call succeeded; where it did not, the value stays what it was."""
        context, counts = self._caller.context, self._reporter.counts
        context.attempt = self._failures + 1
        begun = time.perf_counter()
        try:
            self._caller.arm()
            value = self._caller.invoke(None, self._hearing.parameters)
            packed = b"" if value is None else pack_value(value)
        except RAISED as error:
            self._outbox.check()
            self._fail(error)
            return False
        finally:
            self._caller.disarm()
            context.remove_folder()
        counts.kernel_times.record(time.perf_counter() - begun)
        if self._failures:
            self._failures = 0
            context.telling.say("")
        if packed and packed != self._packed:
            self._store(packed)
            counts.sent += 1
        return True

    def _fail(self, error: BaseException) -> None:
        self._failures += 1
        failure = Failure.of(error, self._failures, self._caller.context.mask.text)
        self._log.log("side input", failure)
        self._reporter.event("failure", {"reason": "side input", **failure.to_value()})
        self._reporter.counts.retried += 1
        kept = "the value of before stays" if self._packed else "there is no value yet"
        self._caller.context.telling.say(f"failed {self._failures} times in a row, {kept}: {failure.error}")

    def _store(self, packed: bytes) -> None:
        operator, limit = self._assignment.operator, self._assignment.max_payload
        record = self._names.record(operator, self._replica, "value")
        self._packed = packed
        if len(packed) <= min(SMALL_BYTES, limit - HEADROOM):
            self._outbox.put(Work([Store(record, msgpack.packb({"value": packed}))]))
            return
        reference = Reference(f"v-{time.time_ns():x}", len(blobs.pieces(packed, limit)))
        pieces = blobs.stores(self._subjects(reference), packed, limit)
        self._apart.append(reference)
        loose = Store(self._names.record(operator, self._replica, LOOSE), pack_references(self._apart))
        # the one before is still read by those who have been told of it and not yet of this one
        old = [subject for one in self._apart[:-2] for subject in self._subjects(one)]
        self._apart = self._apart[-2:]
        self._outbox.put(Work([loose, *pieces, Store(record, msgpack.packb(reference.to_value()))], drop=old))

    def _subjects(self, reference: Reference) -> list[str]:
        return reference.pieces(self._names, self._assignment.operator, self._replica)

    def take_up(self, loose: bytes) -> None:
        """The values of an earlier incarnation are removed as new ones come."""
        self._apart = unpack_references(loose)


class SideInputs:
    """What an operator that names side inputs has heard of them."""

    def __init__(self, assignment: Assignment, transport: Transport, values: dict[str, Any]) -> None:
        self._assignment = assignment
        self._transport = transport
        self._values = values
        self._names = Names(assignment.run)

    @property
    def missing(self) -> list[str]:
        """The names of those that have no value yet."""
        return [entry.name for entry in self._assignment.side_inputs if entry.name not in self._values]

    def hear(self, operator: int, record: bytes) -> None:
        """An operator's record says that there is a new value. Raises `WireError` where it says it wrongly."""
        try:
            about = msgpack.unpackb(record)
            packed = about.get("value") if isinstance(about, dict) else None
            reference = Reference.of(about) if isinstance(about, dict) and packed is None else None
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
            raise WireError(f"not a side input's record: {error!s:.200}") from error
        if reference is not None:
            try:
                packed = self._transport.read_blob(reference.pieces(self._names, operator, 0))
            except KeyError:
                return  # it is an old one: what has taken its place is on its way
        if not isinstance(packed, bytes):
            raise WireError("a side input's record has no value in it")
        value = unpack_value(packed)
        for entry in self._assignment.side_inputs:
            if entry.operator == operator:
                self._values[entry.name] = value

    def error(self) -> SideInputError:
        """What is said where they did not come in time."""
        texts = [
            f"no value of the side input {entry.name!r} has come from {entry.key!r} within {entry.wait:g} s: "
            "its log says why"
            for entry in self._assignment.side_inputs
            if entry.name in self.missing
        ]
        return SideInputError("; ".join(texts))

    @property
    def patience(self) -> float:
        """How long to wait for those that are missing, in seconds."""
        missing = self.missing
        return max((entry.wait for entry in self._assignment.side_inputs if entry.name in missing), default=0.0)

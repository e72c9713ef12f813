"""One replica's life: what it does with what it receives, in every mode alike.

The rules of delivery are here; `transports` only carry. A delivery is settled in one step with what was made from it.
A replica with an effect (a sink, or a kernel that uses `context.state`) keeps the ids that it has applied and stores
them, its state and what it sends as one checkpoint before it settles. A message whose kernel fails goes its own way,
to the retry stream and at last to the dead letters, so that the others of its batch neither wait nor suffer.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack

from interactem.runtime import checkpoint as checkpoints
from interactem.runtime import wire
from interactem.runtime.assignment import Assignment, Input
from interactem.runtime.calls import Caller
from interactem.runtime.checkpoint import Checkpoint
from interactem.runtime.context import Context
from interactem.runtime.errors import InteractemRuntimeError, WireError
from interactem.runtime.failures import Failure, backoff, is_last
from interactem.runtime.ids import finish_name, output_id, source_id, source_name
from interactem.runtime.messages import BytesMessage
from interactem.runtime.operators import Kernel
from interactem.runtime.outbox import BATCH_BYTES, HEADROOM, Outbox, Place, batch_limit
from interactem.runtime.slot import Slot
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Delivery, Record, Store, Transport, Work
from interactem.runtime.wire import Packed

REPORT_SECONDS = 0.25
_COMMIT_DELIVERIES = 128
_IDLE_FIRST = 0.001
_IDLE_MOST = 1.0
_RETRY_BACKLOG = 10_000
"""With so many messages waiting to be tried again, a failing one is tried again at once, so that the store lasts."""


class SourceError(InteractemRuntimeError):
    """A source failed as often as it may without sending anything in between."""


class FinishError(InteractemRuntimeError):
    """A finish function failed as often as it may."""


@dataclass(slots=True)
class Counts:
    """What a replica has done in its life; `kernel` is the mean time of one call, in seconds."""

    received: int = 0
    sent: int = 0
    retried: int = 0
    dead: int = 0
    calls: int = 0
    kernel: float = 0.0

    def timed(self, calls: int, seconds: float) -> None:
        mean = max(seconds / calls, 1e-9)
        self.kernel = mean if not self.calls else 0.7 * self.kernel + 0.3 * mean
        self.calls += calls


@dataclass(slots=True)
class Pending:
    """What a replica with an effect has done since its last checkpoint."""

    inputs: list[tuple[int, BytesMessage]] = field(default_factory=list)
    messages: list[tuple[int, Packed]] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    settled: list[Delivery] = field(default_factory=list)
    purge: list[str] = field(default_factory=list)
    weight: int = 0

    def __bool__(self) -> bool:
        return bool(self.settled or self.messages or self.stores)


class Replica:
    """Runs `kernel` as one replica of the operator that `assignment` describes, until the stream's end.

    `arm` starts the time limit of a call in seconds (0: stops it); it ends the process when the limit is over.
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
    ) -> None:
        self.assignment = assignment
        self.kernel = kernel
        self.transport = transport
        self.context = context
        self.parameters = parameters
        self.counts = Counts()
        self._slot = slot or Slot()
        self._clock = clock
        self._arm = arm
        # a coroutine is cancelled by its event loop; what blocks the loop is ended a little later
        limit = assignment.timeout or 0.0
        self._limit = limit * 1.1 + 1 if limit and kernel.coroutine else limit
        self._names = Names(assignment.run)
        self._outbox = Outbox(assignment)
        ports = tuple(output.port for output in assignment.outputs)
        self._ports = {port: index for index, port in enumerate(ports)}
        self._stored_outputs = [index for index, output in enumerate(assignment.outputs) if output.edges]
        self._caller = Caller(kernel, context, ports, assignment.timeout)
        self._inputs = {item.edge: item for item in assignment.inputs}
        self._checkpoint = Checkpoint()
        self._snapshot = checkpoints.encode_state({})
        self._chunks: list[str] = []
        self._pending = Pending()
        self._restored = False
        self._committed = threading.Event()
        self._committed.set()
        self._commit_at = 0.0
        self._commit_now = False
        self._crashes: dict[tuple[int, str], Failure] = {}
        self._readers: dict[int, dict[str, Any]] = {}
        self._told_to_finish = False
        self._stopped = False
        self._drained = False
        self._reported = 0.0
        self._backlog = 0

    # the whole of it

    def run(self) -> None:
        """Returns when everything is stored and the engine knows that this replica is done."""
        for subject, payload in self.transport.open(self._outbox).items():
            self._hear(Record(subject, payload))
        self._restore()
        self._report()
        try:
            if self.assignment.is_source:
                self._produce()
            else:
                self._consume()
            if self._stopped:
                self._store_everything()
            else:
                self._finish()
        finally:
            self._caller.close()

    def stop(self) -> None:
        """End soon, with everything stored that was done, but not at the stream's end: another goes on from here."""
        self._stopped = self._told_to_finish = True

    @property
    def _effectful(self) -> bool:
        return self.assignment.is_sink or self.context.state_used

    # a source

    def _produce(self) -> None:
        failures = 0
        while not self._told_to_finish:
            start = self._checkpoint.position
            try:
                if self.kernel.generator:
                    self._run_generator()
                    return
                self._call_repeatedly()
            except Exception as error:
                failures = failures + 1 if self._checkpoint.position == start else 1
                self._report_failure(error, failures)
                if is_last(failures, self.assignment.max_attempts):
                    raise SourceError(f"the source failed {failures} times in a row: {error}") from error
                self.counts.retried += 1
                self._pause(backoff(failures))

    def _run_generator(self) -> None:
        begun = self._checkpoint.position
        self.context._position = begun
        self.context.position_used = False
        if not self.kernel.replayable:
            self.context._position = 0
        skip = None
        for result in self._caller.call(None, self.parameters):
            if skip is None:
                # a generator that did not ask where to start has started at its beginning
                replays = self.kernel.replayable and not self.context.position_used
                skip = begun if replays else 0
            if skip:
                skip -= 1
                continue
            self._emit_from_source(self._caller.checked(result))
            self._between()
            if self._told_to_finish:
                return

    def _call_repeatedly(self) -> None:
        idle = _IDLE_FIRST
        while not self._told_to_finish:
            self.context._position = self._checkpoint.position
            started = time.perf_counter()
            messages = list(self._caller.call(None, self.parameters))
            self.counts.timed(1, time.perf_counter() - started)
            if messages:
                idle = _IDLE_FIRST
                self._emit_from_source(messages)
                self._between()
            else:
                self._pause(idle)
                idle = min(_IDLE_MOST, idle * 2)

    def _emit_from_source(self, messages: list[BytesMessage]) -> None:
        place = self._checkpoint
        source = source_name(self.context.operator, self.context.replica, place.epoch)
        packed = [
            (message.target, self._pack(message, source_id(source, place.position, index), None))
            for index, message in enumerate(messages)
        ]
        for port, item in packed:
            for index in self._targets(port):
                self._outbox.put((index, item))
        self.counts.sent += len(packed)
        place.position += 1
        place.resumes = self.context.position_used
        if self.context.state_used:
            self._snapshot = checkpoints.encode_state(self.context._state)
        position, state = place.position, self._snapshot
        self._outbox.put(
            Place(
                self._record("checkpoint"),
                lambda: checkpoints.encode(replace(place, position=position), state),
            )
        )

    def _between(self) -> None:
        """What a source does between two messages: hear, report, and wait while the broker is behind."""
        while self.transport.waiting or not self._outbox.wait_for_room(0.2):
            self._receive_control(0)
            if self._told_to_finish:
                break
        self._report_now_and_then()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._told_to_finish and (left := until - time.monotonic()) > 0:
            self._receive_control(left)
            self._report_now_and_then()

    def _receive_control(self, timeout: float) -> None:
        item = self.transport.receive(timeout)
        if isinstance(item, Record):
            self._hear(item)

    # an operator with inputs

    def _consume(self) -> None:
        while not self._told_to_finish or (self.transport.waiting and not self._stopped):
            item = self.transport.receive(self._patience())
            if isinstance(item, Record):
                self._hear(item)
            elif item is not None:
                self._take(item)
            if self._pending and self._is_time_to_commit():
                self._commit()
            self._report_now_and_then()

    def _patience(self) -> float:
        if self._pending and self._committed.is_set():
            return max(0.0, min(self._commit_at - time.monotonic(), REPORT_SECONDS))
        return 1.0 if time.monotonic() - self._reported > REPORT_SECONDS else REPORT_SECONDS

    def _take(self, delivery: Delivery) -> None:
        entry = self._inputs[delivery.edge]
        try:
            wire.check_format(delivery.format)
            messages, about = wire.decode(delivery.payload, entry.port)
            purge = self._fetch_blob(delivery, messages, about)
        except WireError as error:
            self._bury_unreadable(delivery, error)
            return
        if delivery.retry and (delay := float(about.get("not_before", 0)) - self._clock()) > 0:
            self.transport.defer(delivery, delay)
            return
        self.counts.received += len(messages)
        self._backlog = delivery.backlog
        failed = int(about.get("failure", {}).get("attempts", 0))
        started = time.perf_counter()
        kept = [self._handle(delivery, about, message, failed) for message in messages]
        self._slot.leave()
        if messages:
            self.counts.timed(len(messages), time.perf_counter() - started)
        self._settle(delivery, [] if any(kept) else purge)
        self._outbox.wait_for_room(3600)

    def _handle(self, delivery: Delivery, about: dict[str, Any], message: BytesMessage, failed: int) -> bool:
        """Give a message to the kernel. Returns whether it still needs what it refers to: it is tried again."""
        edge, message_id = delivery.edge, message.id or ""
        if self._effectful and self._checkpoint.applied.seen(edge, message_id):
            return False
        if self._crashes and (crash := self._crashes.get((edge, message_id))) and crash.attempts > failed:
            del self._crashes[edge, message_id]
            return self._set_aside(delivery, about, message, crash)
        while True:
            attempt = failed + 1
            self._slot.enter(edge, message_id, attempt)
            self.context.attempt = attempt
            self.context.message_id = message_id
            try:
                if self._limit:
                    self._arm(self._limit)
                self._apply(edge, message)
                if self._limit:
                    self._arm(0)
                return False
            except Exception as error:
                if self._limit:
                    self._arm(0)
                failure = Failure.of(error, attempt)
                self.context.logger.warning("message %s: %s", message_id, failure.traceback or failure.error)
                self._roll_back()
            if not delivery.retry or delivery.backlog < _RETRY_BACKLOG or is_last(attempt, self.assignment.max_attempts):
                return self._set_aside(delivery, about, message, failure)
            self.counts.retried += 1
            failed = attempt

    def _apply(self, edge: int, message: BytesMessage) -> None:
        """Call the kernel and keep what it makes. Whatever it raises, nothing of this call is sent."""
        message_id = message.id or ""
        tracking = message.header.tracking
        made: list[tuple[int, Packed]] = []
        weight = 0
        for index, result in enumerate(self._results(message)):
            packed = self._pack(result, output_id(message_id, edge, index), tracking)
            made += [(target, packed) for target in self._targets(result.target)]
            weight += packed.weight
            if weight > BATCH_BYTES and not self._effectful:
                # a generator's messages go out as it yields them; their ids make a second time harmless
                self._keep(made)
                made, weight = [], 0
                self._outbox.wait_for_room(3600)
        self._keep(made)
        if self._effectful:
            self._pending.weight += weight
            if self.context.state_used:
                self._pending.inputs.append((edge, message))
            self._checkpoint.applied.add(edge, message_id)

    def _results(self, message: BytesMessage) -> Iterator[BytesMessage]:
        results = self._caller.call(message, self.parameters)
        if isinstance(results, list):
            yield from results
            return
        for result in results:
            yield from self._caller.checked(result)

    def _pack(self, message: BytesMessage, message_id: str, tracking: dict[str, Any] | None) -> Packed:
        packed = wire.pack(message, message_id, tracking)
        self._outbox.check_size(packed)
        return packed

    def _targets(self, port: str | None) -> list[int]:
        if port is None:
            return self._stored_outputs
        index = self._ports[port]
        return [index] if index in self._stored_outputs else []

    def _keep(self, made: list[tuple[int, Packed]]) -> None:
        self.counts.sent += len(made)
        if self._effectful:
            self._pending.messages += made
            return
        for item in made:
            self._outbox.put(item)

    def _settle(self, delivery: Delivery, purge: list[str]) -> None:
        if self._effectful:
            self._pending.settled.append(delivery)
            self._pending.purge += purge
        elif purge:
            self._outbox.put(Work(settled=[delivery], purge=purge))
        else:
            self._outbox.put(delivery)

    # messages that failed

    def _set_aside(self, delivery: Delivery, about: dict[str, Any], message: BytesMessage, failure: Failure) -> bool:
        """To the retry stream or, after the last attempt, to the dead letters."""
        entry = self._inputs[delivery.edge]
        told: dict[str, Any] = {"failure": failure.to_value()}
        if "blob" in about:
            told |= {"blob": about["blob"], "chunks": about["chunks"]}
            message = BytesMessage(message.header, b"", id=message.id)
        if is_last(failure.attempts, self.assignment.max_attempts):
            self._bury(entry, message, told)
        else:
            self.counts.retried += 1
            told["not_before"] = self._clock() + backoff(failure.attempts)
            subject = self._names.retry(delivery.edge, entry.partition(self.context.replica))
            name = f"{delivery.edge}:{message.id}#{failure.attempts}:{about.get('redriven', 0)}"
            self._put_store(Store(subject, self._envelope(message, told), name, wire=True))
        return "blob" in about

    def _bury(self, entry: Input, message: BytesMessage, told: dict[str, Any]) -> None:
        self.counts.dead += 1
        told |= {"operator": self.assignment.name, "port": entry.port, "edge": entry.edge, "time": self._clock()}
        told["partition"] = entry.partition(self.context.replica)
        subject = self._names.dead(entry.edge, message.id or "")
        self._put_store(Store(subject, self._envelope(message, told), wire=True))
        self._report_event("dead", {"id": message.id, **told["failure"]})

    def _bury_unreadable(self, delivery: Delivery, error: WireError) -> None:
        entry = self._inputs[delivery.edge]
        name = f"unreadable-{delivery.sequence}{'-retry' if delivery.retry else ''}"
        raw = BytesMessage(data=delivery.payload[: self.assignment.max_payload - 4 * HEADROOM], id=name)
        self.context.logger.warning("batch %s: %s", name, error)
        self._bury(entry, raw, {"failure": Failure.of(error, 1).to_value(), "unreadable": True})
        self._settle(delivery, [])

    def _envelope(self, message: BytesMessage, told: dict[str, Any]) -> bytes:
        return wire.encode([wire.pack(message, message.id or "")], told)

    def _put_store(self, store: Store) -> None:
        if self._effectful:
            self._pending.stores.append(store)
        else:
            self._outbox.put(store)

    def _fetch_blob(self, delivery: Delivery, messages: list[BytesMessage], about: dict[str, Any]) -> list[str]:
        """Fill in the data that is stored apart. Returns what may be removed afterwards."""
        if "blob" not in about:
            return []
        if len(messages) != 1 or not isinstance(about.get("chunks"), int):
            raise WireError("a reference to a blob that does not fit")
        blob = f"{about['blob']}-{delivery.edge}"
        try:
            data = self.transport.read_blob([self._names.blob(blob, number) for number in range(about["chunks"])])
        except KeyError as error:
            raise WireError(f"the data of message {messages[0].id} is gone from the store: {error}") from error
        messages[0].data = memoryview(data).toreadonly()
        return [self._names.blob(blob, "*")]

    # state and checkpoints

    def _restore(self) -> None:
        if self._checkpoint.finished and not self._told_to_finish:
            self._checkpoint.finished = False  # the stream goes on: it will end once more
        self.context._state = self._checkpoint.state
        if self._checkpoint.state or (self._restored and not self.assignment.is_source):
            self.context.state_used = True
        self._snapshot = checkpoints.encode_state(self.context._state)
        if self._checkpoint.outbox:
            stores = [Store(subject, payload, name, wire=True) for subject, payload, name in self._checkpoint.outbox]
            self._outbox.put(Work(then=stores))
        if self.assignment.is_source and self._begins_anew():
            self._checkpoint.epoch += 1
            self._checkpoint.position = 0

    def _begins_anew(self) -> bool:
        """Whether a restarted source counts anew.

        A function that is called again and does not ask for its position has no beginning to go back to.
        """
        started_before = self._checkpoint.position > 0 or self._checkpoint.epoch > 0
        goes_on = self._checkpoint.resumes or self.kernel.generator
        return started_before and not (goes_on and self.kernel.replayable)

    def _roll_back(self) -> None:
        """After a failed call: bring the state back to what it was before it, and make again what was sent since.

        A kernel that fails may have changed half of its state. The last checkpoint plus the messages applied since
        then is the state that it should have.
        """
        if not self.context.state_used:
            return
        inputs, self._pending.inputs = self._pending.inputs, []
        self.counts.sent -= len(self._pending.messages)
        self._pending.messages, self._pending.weight = [], 0
        self.context._state = checkpoints.decode_state(self._snapshot)
        for edge, message in inputs:
            self.context.message_id = message.id
            self._apply(edge, message)
        self._commit_now = True

    def _is_time_to_commit(self) -> bool:
        full = len(self._pending.settled) >= _COMMIT_DELIVERIES or self._pending.weight > 8 * BATCH_BYTES
        if full:
            self._wait_for_commit()
        if not self._committed.is_set():
            return False
        return full or self._commit_now or time.monotonic() >= self._commit_at

    def _wait_for_commit(self) -> None:
        while not self._committed.wait(0.5):
            self._outbox.check()

    def _commit(self) -> None:
        """Store state, applied ids and what is to be sent as one; then send; then settle."""
        started = time.monotonic()
        pending, self._pending = self._pending, Pending()
        self._commit_now = False
        if self.context.state_used:
            self._snapshot = checkpoints.encode_state(self.context._state)
        blobs, batches = self._outbox.stores(pending.messages)
        self._checkpoint.outbox = [(store.subject, store.payload, store.id or "") for store in batches]
        first, old = self._checkpoint_stores()
        self._committed.clear()

        def done() -> None:
            # a large state takes long to store: at most a tenth of the time goes into it
            now = time.monotonic()
            self._commit_at = now + 10 * (now - started)
            self._committed.set()

        then = batches + pending.stores
        self._outbox.put(Work(blobs + first, then, pending.settled, purge=pending.purge + old, done=done))

    def _checkpoint_stores(self) -> tuple[list[Store], list[str]]:
        """The checkpoint as it is stored, in pieces where it is large, and the pieces of the one before."""
        encoded = checkpoints.encode(self._checkpoint, self._snapshot)
        room = self.assignment.max_payload - HEADROOM
        old, self._chunks = self._chunks, []
        if len(encoded) <= room:
            return [Store(self._record("checkpoint"), encoded)], old
        name = f"c-{self.assignment.operator}-{self.context.replica}-{time.time_ns():x}"
        pieces = [encoded[start : start + room] for start in range(0, len(encoded), room)]
        stores = [Store(self._names.blob(name, number), piece) for number, piece in enumerate(pieces)]
        self._chunks = [self._names.blob(name, "*")]
        reference = msgpack.packb({"blob": name, "chunks": len(pieces)})
        return [*stores, Store(self._record("checkpoint"), reference)], old

    def _read_checkpoint(self, payload: bytes) -> None:
        value = msgpack.unpackb(payload, strict_map_key=False)
        if isinstance(value, dict):
            name = value["blob"]
            self._chunks = [self._names.blob(name, "*")]
            payload = self.transport.read_blob([self._names.blob(name, number) for number in range(value["chunks"])])
        self._checkpoint = checkpoints.decode(payload)
        self._restored = True

    # the end

    def _finish(self) -> None:
        """At the end of the stream: the finish function, everything stored, and a record that says so."""
        self._store_everything()
        if self.kernel.finish is not None and not self._checkpoint.finished:
            self._call_finish(self.kernel.finish)
        self._report()
        ended = {"drained": self._drained, "counts": self._counts()}
        self._outbox.put(Work(then=[Store(self._record("finished"), json.dumps(ended).encode())]))
        self.transport.finish()

    def _store_everything(self) -> None:
        if self._pending:
            self._commit_when_free()
        self.transport.finish()

    def _call_finish(self, finish: Kernel) -> None:
        caller = Caller(finish, self.context, tuple(self._ports), self.assignment.timeout)
        source = finish_name(self.context.operator, self.context.replica)
        self._checkpoint.finishes += 1
        attempt = 0
        while True:
            attempt += 1
            self.context.attempt, self.context.message_id = attempt, None
            made: list[tuple[int, Packed]] = []
            try:
                results = caller.call(None, self.parameters)
                messages = [m for result in results for m in caller.checked(result)]
                for index, message in enumerate(messages):
                    packed = self._pack(message, source_id(source, self._checkpoint.finishes, index), None)
                    made += [(target, packed) for target in self._targets(message.target)]
                break
            except Exception as error:
                self._report_failure(error, attempt)
                if is_last(attempt, self.assignment.max_attempts):
                    raise FinishError(f"the finish function failed {attempt} times: {error}") from error
                if self.context.state_used:
                    self.context._state = checkpoints.decode_state(self._snapshot)
                self.counts.retried += 1
                time.sleep(backoff(attempt))
        caller.close()
        self._checkpoint.finished = True
        if self._effectful:
            self.counts.sent += len(made)
            self._pending.messages += made
            self._commit_when_free()
        else:
            self._keep(made)
        self.transport.finish()

    def _commit_when_free(self) -> None:
        self.transport.finish()
        self._commit()

    # what the engine and the readers say

    def _hear(self, record: Record) -> None:
        kind = record.subject.split(".")
        if kind[2] == "m":
            self._hear_reader(record)
        elif kind[2] == "r":
            if kind[-1] == "checkpoint":
                self._read_checkpoint(record.payload)
        elif kind[4] == "parameters":
            self.parameters = json.loads(record.payload)
        elif kind[4] == "crash":
            value = json.loads(record.payload)
            self._crashes[value["edge"], value["id"]] = Failure.from_value(value)
        elif kind[4] == "watermarks":
            for source, position in json.loads(record.payload).items():
                self._checkpoint.applied.forget(source, position)
        elif kind[4] == "finish":
            self._told_to_finish = True
        elif kind[4] == "drain" and self.assignment.is_source:
            self._told_to_finish = self._drained = True

    def _hear_reader(self, record: Record) -> None:
        self._readers[int(record.subject.split(".")[3])] = msgpack.unpackb(record.payload)
        for index, output in enumerate(self.assignment.outputs):
            readers = [self._readers[reader] for reader in output.readers if reader in self._readers]
            silent = len(readers) < len(output.readers)
            limit = 1 if silent else batch_limit(reader["kernel"] for reader in readers)
            self._outbox.limits[index] = limit
        # where a reader is behind, nobody waits the longer for a message that waits for company here
        self._outbox.lingers = any(reader["waiting"] > 1 for reader in self._readers.values())

    # what it says of itself

    def _counts(self) -> dict[str, Any]:
        counts = self.counts
        return {
            "received": counts.received,
            "sent": counts.sent,
            "retried": counts.retried,
            "dead": counts.dead,
            "kernel": counts.kernel,
            "waiting": self._backlog,
        }

    def _report_now_and_then(self) -> None:
        if self.counts.calls == 1 or time.monotonic() - self._reported >= REPORT_SECONDS:
            self._report()

    def _report(self) -> None:
        self._reported = time.monotonic()
        self.transport.report(self._report_subject(), msgpack.packb(self._counts()))

    def _report_event(self, kind: str, value: dict[str, Any]) -> None:
        self.transport.report(self._report_subject(), msgpack.packb({**self._counts(), "event": {"kind": kind, **value}}))

    def _report_failure(self, error: Exception, attempts: int) -> None:
        failure = Failure.of(error, attempts)
        self.context.logger.warning("%s", failure.traceback or failure.error)
        self._report_event("failure", failure.to_value())

    def _report_subject(self) -> str:
        return self._names.report(self.assignment.operator, self.context.replica)

    def _record(self, kind: str) -> str:
        return self._names.record(self.assignment.operator, self.context.replica, kind)

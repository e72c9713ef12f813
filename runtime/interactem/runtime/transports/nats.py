"""The transport over NATS with JetStream.

It lives in a thread of its own, with an event loop that no kernel can block: there it pulls, stores, acknowledges and
keeps its deliveries from being handed out again while the kernel works on them.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from interactem.runtime.assignment import Assignment, Input
from interactem.runtime.blobs import LOOSE
from interactem.runtime.connections import PATIENCE, Address, Storer, connect, flush
from interactem.runtime.demand import BATCH_MESSAGES
from interactem.runtime.errors import SettingsError, TransportError
from interactem.runtime.histograms import Histogram
from interactem.runtime.outbox import Outbox
from interactem.runtime.own_record import OwnRecord
from interactem.runtime.slot import Slot
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Delivery, Record, Store, Work
from interactem.runtime.transports.consumers import Consumers
from interactem.runtime.transports.pulling import Pace, Pulling
from interactem.runtime.transports.sharing import Sharing

LINGER_SECONDS = 0.005
UNHEARD_SECONDS = 0.002
LEAVE_SECONDS = 3
PLACE_SECONDS = 0.02
"""How often the place that a source has come to is stored, at most."""
Arrival = tuple[Pulling, Delivery] | Record | Exception | None


class NatsTransport:
    """One replica's way to the broker. `start` connects; `assignment` is what the engine stored for the operator."""

    def __init__(self, address: Address, run: str, operator: int, replica: int, slot: Slot | None = None) -> None:
        self.storing = Histogram()
        self.beat: Callable[[], None] = lambda: None
        self._address = address
        self._names = Names(run)
        self._operator = operator
        self._replica = replica
        self._slot = slot or Slot()
        self._inbox: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._outbox: Outbox | None = None
        self._pullings: dict[tuple[int, bool], Pulling] = {}
        self._sharing: Sharing | None = None
        self._pace = Pace()
        self._ended = False
        self._calling = threading.Lock()
        self._after: Store | None = None
        self._heard: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._records: Future[dict[str, bytes]] = Future()
        self._thread = threading.Thread(target=self._run, name="interactem-transport", daemon=True)

    # the replica's thread

    def start(self) -> None:
        self._thread.start()

    def assignment(self) -> Assignment:
        """Raises `TransportError` where the run does not know this operator.

        Raises `SettingsError` where another version of interactem has made it.
        """
        subject = self._names.control(self._operator, "assignment")
        try:
            stored = self._records.result()[subject]
        except KeyError:
            raise TransportError(f"the run {self._names.run} has no operator {self._operator}") from None
        try:
            return Assignment.from_value(json.loads(stored))
        except SettingsError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            told = f"what the run {self._names.run} says of operator {self._operator} cannot be read"
            raise TransportError(f"{told}: {error!r}; is it of another version of interactem?") from error

    def parameters(self) -> dict[str, Any]:
        """The operator's, as they are at the start."""
        payload = self._records.result().get(self._names.control(self._operator, "parameters"))
        parameters: dict[str, Any] = {} if payload is None else json.loads(payload)
        return parameters

    def open(self, outbox: Outbox) -> dict[str, bytes]:
        records = self._records.result()
        assignment = self.assignment()
        self._outbox = outbox
        outbox.wake = self._notify
        self._call(self._begin(assignment)).result()
        return records

    def receive(self, timeout: float | None) -> Delivery | Record | None:
        self._pace.taken()
        try:
            item = self._inbox.get(timeout is None or timeout > 0, timeout)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        if not isinstance(item, tuple):
            return item
        pulling, delivery = item
        if pulling.took():
            self._loop.call_soon_threadsafe(pulling.ask)
        self._pace.given()
        return delivery

    @property
    def waiting(self) -> bool:
        return not self._inbox.empty()

    def wake(self) -> None:
        self._inbox.put(None)

    @property
    def held(self) -> int:
        return sum(pulling.held for pulling in list(self._pullings.values()))

    def defer(self, delivery: Delivery, delay: float) -> None:
        nak = b"-NAK " + json.dumps({"delay": int(delay * 1e9)}).encode()
        self._call(self._hand_back(delivery, nak))

    def report(self, subject: str, payload: bytes) -> None:
        self._call(self._publish(subject, payload))

    def read_blob(self, subjects: list[str]) -> bytes:
        data: bytes = self._call(self._read_blob(subjects)).result()
        return data

    def finish(self) -> None:
        self._call(self._quiet()).result()

    def close(self) -> None:
        if self._thread.is_alive() and self._records.done() and self._records.exception() is None:
            self._call(self._leave()).result(5)
            self._thread.join(5)

    def _opened(self) -> Outbox:
        if self._outbox is None:
            raise TransportError("the transport is not open")
        return self._outbox

    def _call(self, coroutine: Any) -> Future[Any]:
        with self._calling:
            if not self._ended:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        raise TransportError("the transport is closed")

    def _notify(self) -> None:
        self._opened().idle = False
        self._loop.call_soon_threadsafe(self._wake.set)

    # the transport's thread

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            try:
                runner.run(self._live())
            except Exception as error:
                self._fail(error)
            runner.run(self._end())

    async def _end(self) -> None:
        """Take no more calls. What was asked for until now begins, and ends with the loop."""
        with self._calling:
            self._ended = True
        await asyncio.sleep(0)

    def _fail(self, error: Exception) -> None:
        if not self._records.done():
            self._records.set_exception(error)
        self._inbox.put(error)
        if self._outbox is not None:
            self._outbox.fail(error)

    async def _live(self) -> None:
        self._wake = asyncio.Event()
        self._free = asyncio.Event()
        self._left = asyncio.Event()
        name = f"{self._names.run} {self._operator}.{self._replica}"
        self._client: Client = await connect(self._address, name, reconnected=self._reconnected, denied=self._fail)
        self._storer = Storer(self._client)
        await self._storer.open()
        self._consumers = Consumers(self._storer, self._names)
        control = self._names.control(self._operator, ">")
        await self._client.subscribe(control, cb=self._on_record, pending_bytes_limit=-1)
        await self._client.subscribe(self._names.pokes(self._operator), cb=self._on_record)
        await flush(self._client)
        records = await self._storer.last(self._names.control_stream(self._operator), [control])
        checkpoint = self._names.record(self._operator, self._replica, "checkpoint")
        self._own = OwnRecord(self._storer, self._names.record_stream, checkpoint)
        with suppress(KeyError):
            records[checkpoint] = await self._own.read()
        loose = self._names.record(self._operator, self._replica, LOOSE)
        with suppress(KeyError):
            records[loose] = await self._storer.last_one(self._names.record_stream, loose)
        self._records.set_result(records)
        await self._left.wait()
        await self._client.close()

    async def _begin(self, assignment: Assignment) -> None:
        for reader in {reader for output in assignment.outputs for reader in output.readers}:
            await self._client.subscribe(self._names.report(reader, "*"), cb=self._on_report)
        for entry in assignment.inputs:
            await self._pull(entry, assignment, retry=False)
            await self._pull(entry, assignment, retry=True)
        self._keep(self._work())
        self._keep(self._extend(assignment.ack_wait / 3))
        await self._share(assignment)

    async def _share(self, assignment: Assignment) -> None:
        outbox = self._opened()
        if outbox.views is None or not (assignment.arena or any(entry.shm for entry in assignment.inputs)):
            return
        self._sharing = Sharing(assignment, self._replica, outbox.arena, outbox.views, self._consumers, self._publish)
        for subject in self._sharing.subjects:
            await self._client.subscribe(subject, cb=self._sharing.on_released)
        self._keep(self._sharing.run())

    def _keep(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error if isinstance(error, Exception) else TransportError(repr(error)))

    # receiving

    async def _pull(self, entry: Input, assignment: Assignment, *, retry: bool) -> None:
        pulling = Pulling(
            entry.edge,
            self._names.retry_stream(self._operator) if retry else self._names.stream(entry.stream),
            self._names.consumer(entry.edge, entry.partition(self._replica)),
            retry=retry,
            inbox=self._client.new_inbox(),
            slot=self._slot,
            pace=self._pace,
            publish=self._publish,
            start=self._keep,
            deliver=lambda pulling, delivery: self._inbox.put((pulling, delivery)),
        )
        self._pullings[entry.edge, retry] = pulling
        if entry.ordered and not retry:
            await pulling.keep_order(partial(self._under_way, entry), assignment.ack_wait)
        await self._client.subscribe(
            f"{pulling.inbox}.*", cb=pulling.on_message, pending_bytes_limit=-1, pending_msgs_limit=-1
        )
        pulling.ask()

    async def _under_way(self, entry: Input) -> tuple[int, int]:
        """The number of the last batch that was handed out to the readers of an input, and how many are not settled.

        Raises `TransportError`.
        """
        part = entry.partition(self._replica)
        info = await self._consumers.info(entry.stream, entry.edge, part, PATIENCE)
        if info is None:
            raise TransportError(f"the broker knows nothing of edge {entry.edge}")
        return int(info["delivered"]["consumer_seq"]), int(info["num_ack_pending"])

    async def _on_report(self, message: Msg) -> None:
        self._opened().demand.hear(int(message.subject.split(".")[3]), message.data)

    async def _on_record(self, message: Msg) -> None:
        self._heard.add(message.subject)
        self._inbox.put(Record(message.subject, message.data))

    def _reconnected(self) -> None:
        if not hasattr(self, "_storer"):
            return
        self._storer.resend()
        for pulling in self._pullings.values():
            pulling.ask_anew()
        self._keep(self._hear_anew())

    async def _hear_anew(self) -> None:
        """What the engine has said while there was no connection."""
        self._heard.clear()
        records = await self._storer.last(
            self._names.control_stream(self._operator), [self._names.control(self._operator, ">")]
        )
        for subject, payload in records.items():
            if subject not in self._heard:  # what came meanwhile is newer
                self._inbox.put(Record(subject, payload))

    async def _extend(self, period: float) -> None:
        while True:
            self._slot.beat()
            await asyncio.sleep(period)
            self.beat()
            for pulling in self._pullings.values():
                await pulling.extend(period)

    # storing

    async def _work(self) -> None:
        outbox = self._opened()
        while True:
            if outbox.demand.lingers and len(outbox) and outbox.messages < BATCH_MESSAGES:
                await asyncio.sleep(LINGER_SECONDS)
            work = outbox.take()
            if work is None:
                self._free.set()
                outbox.idle = True
                if not len(outbox):
                    await self._wake.wait()
                outbox.idle = False
                self._wake.clear()
                continue
            self._free.clear()
            begun = time.perf_counter()
            await self._do(work)
            if work.then:
                self.storing.record(time.perf_counter() - begun)
            if work.done is not None:
                work.done()
                self._inbox.put(None)
            if outbox.demand.unheard and work.then:
                await asyncio.sleep(UNHEARD_SECONDS)  # a reader that starts finds few small batches, not thousands

    async def _do(self, work: Work) -> None:
        for item in work.first:
            await self._store(item)
        if len(work.then) == 1:
            await self._store(work.then[0])
        elif work.then:
            await self._store_all(work.then)
        if work.purge:
            self._keep(self._settle_for_good(work.settled, work.purge))
        else:
            for delivery in work.settled:
                await self._settle(delivery)
        if work.drop:
            self._keep(self._drop(work.drop))
        if work.after is not None:
            idle = self._after is None
            self._after = work.after
            if idle:
                self._keep(self._store_after())

    async def _store_all(self, items: list[Store]) -> None:
        """In their order under each subject and in each line, and side by side otherwise."""
        lanes: dict[str, list[Store]] = {}
        for item in items:
            lanes.setdefault(item.line or item.subject, []).append(item)

        async def store(lane: list[Store]) -> None:
            for item in lane:
                await self._store(item)

        await asyncio.gather(*map(store, lanes.values()))

    async def _store_after(self) -> None:
        while self._after is not None:
            item = self._after
            await self._store(item)
            if self._after is item:
                self._after = None
            else:
                await asyncio.sleep(PLACE_SECONDS)

    async def _store(self, item: Store) -> None:
        if item.subject == self._own.subject:
            await self._own.store(item)
        else:
            await self._storer.store(item)

    async def _settle(self, delivery: Delivery) -> None:
        if delivery.leases:
            self._keep(self._settle_for_good([delivery], []))
        else:
            await self._hand_back(delivery, b"+ACK")

    async def _settle_for_good(self, deliveries: list[Delivery], subjects: list[str]) -> None:
        """What was referred to is removed only when the broker is sure that nobody will be handed the reference."""
        for delivery in deliveries:
            if self._sharing is not None:
                await self._sharing.keep(delivery)
            self._forget(delivery)
        await asyncio.gather(*(self._storer.acknowledge(delivery.token) for delivery in deliveries))
        if self._sharing is not None:
            for delivery in deliveries:
                await self._sharing.release(delivery)
        await self._drop(subjects)

    async def _drop(self, subjects: list[str]) -> None:
        await asyncio.gather(*map(self._storer.remove, subjects))

    async def _hand_back(self, delivery: Delivery, answer: bytes) -> None:
        self._forget(delivery)
        await self._publish(delivery.token, answer)

    def _forget(self, delivery: Delivery) -> None:
        self._pullings[delivery.edge, delivery.retry].forget(delivery)

    async def _publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        try:
            await self._client.publish(subject, payload, reply=reply)
        except (NatsError, OSError):
            # between two connections: a pull is made again with the next, an acknowledgement's delivery comes again
            if self._client.is_closed:
                raise TransportError("the connection to the broker is closed") from None

    async def _read_blob(self, subjects: list[str]) -> bytes:
        parts: list[bytes] = []
        for subject in subjects:
            parts.append(await self._storer.last_one(self._names.blob_stream, subject))
            if not parts[-1]:
                raise KeyError(subject)  # what is stored for a moment where a blob was removed
        return b"".join(parts)

    async def _quiet(self) -> None:
        outbox = self._opened()
        # several things have to be over at once, and each may begin again meanwhile
        while len(outbox) or not self._free.is_set() or self._after is not None or self._transient():
            outbox.check()
            await asyncio.sleep(0.001)

    def _transient(self) -> bool:
        """Whether a task is under way that comes to an end by itself."""
        return len(self._tasks) > (2 if self._sharing is None else 3)

    async def _leave(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        with suppress(NatsError, OSError, TimeoutError):  # a broker that is gone needs no goodbye
            await self._client.flush(LEAVE_SECONDS)
        self._left.set()

"""A replica's checkpoint is stored by one incarnation at a time: what comes late of a dead one is refused."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from nats.errors import FlushTimeoutError

from interactem.engine.broker import EmbeddedBroker
from interactem.runtime import connections
from interactem.runtime.connections import Address, Storer, connect
from interactem.runtime.errors import SupersededError, TransportError
from interactem.runtime.own_record import OwnRecord
from interactem.runtime.transports import Store

pytestmark = pytest.mark.broker

STREAM, SUBJECT = "records", "records.one"
CONFIG = {
    "name": STREAM,
    "subjects": ["records.*"],
    "storage": "file",
    "max_msgs_per_subject": 1,
    "max_bytes": 2**20,
    "allow_direct": True,
}


def with_broker(tmp_path, test):
    async def run() -> None:
        broker = await EmbeddedBroker.start(
            tmp_path / "broker", tmp_path / "secrets", durability="process", store_bytes=2**28
        )
        clients = []

        async def storer():
            clients.append(await connect(Address(broker.url, broker.credentials), "test"))
            made = Storer(clients[-1])
            await made.open()
            return made

        try:
            await (await storer()).ask(f"$JS.API.STREAM.CREATE.{STREAM}", CONFIG)
            await test(broker, storer)
        finally:
            for client in clients:
                await client.close()
            await broker.stop()

    asyncio.run(asyncio.wait_for(run(), 60))


async def taken_up(storer):
    record = OwnRecord(await storer(), STREAM, SUBJECT)
    try:
        return record, await record.read()
    except KeyError:
        return record, None


def test_who_took_it_up_last_is_not_overwritten(tmp_path):
    async def test(broker, storer) -> None:
        first, found = await taken_up(storer)
        assert found is None
        await first.store(Store(SUBJECT, b"1"))
        await first.store(Store(SUBJECT, b"2"))
        second, found = await taken_up(storer)
        assert found == b"2"
        await second.store(Store(SUBJECT, b"3"))
        with pytest.raises(SupersededError, match="by another process"):
            await first.store(Store(SUBJECT, b"late"))
        await second.store(Store(SUBJECT, b"4"))
        assert (await taken_up(storer))[1] == b"4"

    with_broker(tmp_path, test)


def test_what_comes_before_the_successor_stores_is_found_by_the_one_after_it(tmp_path):
    async def test(broker, storer) -> None:
        first, _ = await taken_up(storer)
        await first.store(Store(SUBJECT, b"1"))
        second, found = await taken_up(storer)
        assert found == b"1"
        await first.store(Store(SUBJECT, b"late"))
        with pytest.raises(SupersededError):
            await second.store(Store(SUBJECT, b"made from 1"))
        assert (await taken_up(storer))[1] == b"late"

    with_broker(tmp_path, test)


def test_a_lost_answer_is_not_somebody_else(tmp_path, monkeypatch):
    async def test(broker, storer) -> None:
        record, _ = await taken_up(storer)
        ask, lost = Storer._ask, []

        async def deaf(self, subject, payload, headers):
            answer = await ask(self, subject, payload, headers)
            if subject == SUBJECT and payload not in lost:
                lost.append(payload)
                return None
            return answer

        monkeypatch.setattr(Storer, "_ask", deaf)
        for number in range(3):
            await record.store(Store(SUBJECT, b"%d" % number))
        assert len(lost) == 3
        assert (await taken_up(storer))[1] == b"2"

    with_broker(tmp_path, test)


def test_stores_at_once_keep_their_order_over_a_restart(tmp_path):
    async def test(broker, storer) -> None:
        record, _ = await taken_up(storer)
        stores = [asyncio.create_task(record.store(Store(SUBJECT, b"%d" % number))) for number in range(200)]
        await stores[20]
        os.kill(broker.pid, signal.SIGKILL)
        await broker.wait()
        await broker.restart()
        await asyncio.gather(*stores)
        assert (await taken_up(storer))[1] == b"199"

    with_broker(tmp_path, test)


def test_a_broker_that_does_not_come_back_is_not_asked_for_ever(tmp_path, monkeypatch):
    async def test(broker, storer) -> None:
        asking = await storer()
        await asking.store(Store(SUBJECT, b"1"))
        os.kill(broker.pid, signal.SIGKILL)
        await broker.wait()
        with monkeypatch.context() as hurried:
            hurried.setattr(connections, "PATIENCE", 0.2)
            with pytest.raises(TransportError, match="the broker does not say what is stored in records"):
                await asking.last(STREAM, ["records.*"])
            with pytest.raises(TransportError, match=f"the broker does not say {SUBJECT}"):
                await asking.last_one(STREAM, SUBJECT)
        await broker.restart()
        assert await asking.last(STREAM, ["records.*"]) == {SUBJECT: b"1"}

    with_broker(tmp_path, test)


def test_a_broker_that_stalls_for_a_while_is_waited_for():
    class Stalled:
        is_closed = False

        def __init__(self, times) -> None:
            self.left = times

        async def flush(self) -> None:
            self.left -= 1
            if self.left >= 0:
                raise FlushTimeoutError

    client = Stalled(2)
    asyncio.run(connections.flush(client))
    assert client.left == -1
    with pytest.raises(TransportError, match="the broker does not answer"):
        asyncio.run(connections.flush(Stalled(10**9), patience=0.1))

"""Low watermarks, on a real broker: the test plays the replicas."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from interactem.engine import streams
from interactem.engine.broker import EmbeddedBroker
from interactem.engine.plan import make_plan
from interactem.engine.watermarks import Watermarks
from interactem.runtime import checkpoint
from interactem.runtime.checkpoint import Checkpoint
from interactem.runtime.connections import Address, Storer, connect
from interactem.runtime.transports import Store
from interactem.spec import Graph, parse_operator, parse_pipeline

pytestmark = pytest.mark.broker

STORE = 256 * 2**20


def port(name):
    return {"name": name, "label": name, "type": "any", "description": name}


def spec(number, inputs, outputs):
    return parse_operator(
        {
            "id": f"00000000-0000-4000-8000-00000000000{number}",
            "image": "none",
            "label": "none",
            "description": "none",
            "inputs": [port(name) for name in inputs],
            "outputs": [port(name) for name in outputs],
        },
        "test",
    )


def chain_plan(tmp_path):
    """source -> middle -> sink"""
    catalog = {"source": spec(1, [], ["out"]), "middle": spec(2, ["in"], ["out"]), "sink": spec(3, ["in"], [])}
    pipeline = parse_pipeline(
        {
            "name": "chain",
            "operators": {name: {"operator": name} for name in catalog},
            "edges": [{"from": "source.out", "to": "middle.in"}, {"from": "middle.out", "to": "sink.in"}],
        },
        "test",
    )
    folders = dict.fromkeys(catalog, tmp_path)
    return make_plan(Graph(pipeline, catalog).check(), "test", folders, max_payload=2**20, max_message=2**30)


class Broker:
    def __init__(self, plan, client, storer):
        self.plan = plan
        self.client = client
        self.storer = storer

    async def send(self, stream, count):
        for _ in range(count):
            await self.storer.store(Store(self.plan.names.messages(stream, 0), b"batch"))

    async def place(self, position):
        payload = checkpoint.encode(Checkpoint(position=position), checkpoint.encode_state({}))
        await self.storer.store(Store(self.plan.names.record(0, 0, "checkpoint"), payload))

    async def acknowledge(self, stream, consumer, count):
        subscription = await self.client.jetstream().pull_subscribe_bind(consumer, stream)
        for message in await subscription.fetch(count, timeout=10):
            await message.ack_sync()

    async def told(self, operator, kind="watermarks"):
        subject = self.plan.names.control(operator, kind)
        found = await self.storer.last(self.plan.names.control_stream(operator), [subject])
        return json.loads(found[subject]) if found else None


@asynccontextmanager
async def serving(tmp_path):
    plan = chain_plan(tmp_path)
    broker = await EmbeddedBroker.start(
        tmp_path / "broker", tmp_path / "secrets", durability="process", store_bytes=STORE
    )
    try:
        client = await connect(Address(broker.url, broker.credentials), "test")
        storer = Storer(client)
        await storer.open()
        await streams.create(storer, plan, STORE)
        yield Broker(plan, client, storer)
        await client.close()
    finally:
        await broker.stop()


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 60))


async def stays(task):
    """Whether a task still waits after it had every chance to go on."""
    done, _ = await asyncio.wait([task], timeout=1.5)
    return not done


def test_a_watermark_passes_an_operator_once_all_before_it_is_settled(tmp_path):
    async def whole():
        async with serving(tmp_path) as broker:
            names = broker.plan.names
            waves = Watermarks(broker.plan, broker.storer, lag=0)
            await broker.send(0, 3)
            await broker.place(30)
            positions = await waves.positions()
            assert positions == {"source": 30}

            wave = asyncio.create_task(waves.wave(positions))
            assert await stays(wave)
            assert await broker.told(1) is None

            # the middle operator makes two batches from three, then settles them: only then does the wave go on
            await broker.send(1, 2)
            await broker.acknowledge(names.stream(0), names.consumer(0, 0), 3)
            assert await stays(wave)
            assert await broker.told(1) == {"source": 30}
            assert await broker.told(2) is None

            await broker.acknowledge(names.stream(1), names.consumer(1, 0), 2)
            await wave
            assert await broker.told(2) == {"source": 30}

    run(whole())


def test_a_message_to_be_tried_again_holds_the_watermark_back(tmp_path):
    async def whole():
        async with serving(tmp_path) as broker:
            names = broker.plan.names
            waves = Watermarks(broker.plan, broker.storer, lag=0)
            await broker.send(0, 1)
            await broker.place(5)
            # the middle operator has failed on it, and settled its batch
            await broker.storer.store(Store(names.retry(0, 0), b"again"))
            await broker.acknowledge(names.stream(0), names.consumer(0, 0), 1)

            wave = asyncio.create_task(waves.wave(await waves.positions()))
            assert await stays(wave)
            assert await broker.told(1) is None
            await broker.acknowledge(names.retry_stream(1), names.consumer(0, 0), 1)
            await wave
            assert await broker.told(1) == {"source": 5}

    run(whole())


def test_a_wave_does_not_wait_for_what_came_after_it_began(tmp_path):
    async def whole():
        async with serving(tmp_path) as broker:
            names = broker.plan.names
            waves = Watermarks(broker.plan, broker.storer, lag=0)
            await broker.send(0, 2)
            await broker.place(7)
            wave = asyncio.create_task(waves.wave(await waves.positions()))
            assert await stays(wave)
            await broker.send(0, 2)
            await broker.acknowledge(names.stream(0), names.consumer(0, 0), 2)
            await wave
            assert await broker.told(2) == {"source": 7}

    run(whole())


def test_a_watermark_is_told_only_after_its_lag(tmp_path):
    async def whole():
        async with serving(tmp_path) as broker:
            waves = Watermarks(broker.plan, broker.storer, lag=3600)
            await broker.place(7)
            await waves.wave(await waves.positions())
            assert await broker.told(1) is None

    run(whole())


def test_operators_hear_of_a_source_that_has_ended_once_all_of_it_has_come(tmp_path):
    async def whole():
        async with serving(tmp_path) as broker:
            names = broker.plan.names
            waves = Watermarks(broker.plan, broker.storer, lag=3600)
            await broker.send(0, 1)
            await broker.place(1)
            assert await waves.ended() == []
            await broker.storer.store(Store(names.record(0, 0, "finished"), b'{"drained": true}'))
            assert await waves.ended() == [], "it goes on when the run is resumed"
            await broker.storer.store(Store(names.record(0, 0, "finished"), b'{"drained": false}'))
            assert await waves.ended() == ["source~0"]
            wave = asyncio.create_task(waves.wave(await waves.positions(), await waves.ended()))
            assert await stays(wave)
            assert await broker.told(1, "ended") is None
            await broker.acknowledge(names.stream(0), names.consumer(0, 0), 1)
            await wave
            assert [await broker.told(operator, "ended") for operator in (1, 2)] == [{"sources": ["source~0"]}] * 2

    run(whole())

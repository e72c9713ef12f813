"""The chain with nats-py alone, one message at a time: publish, pull, publish, pull; acknowledged at every hop.

Done as nats-py documents it: `publish_async` with a window, `fetch` of many, and an acknowledgement for each message,
which the middle gives when its own message is stored. Sender, middle and receiver are processes of their own. The
server is the one that runs start, with the same settings, and so are the streams' retention and storage. Prints a
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from serving import Server, in_process, processes, serving

WINDOW = 4_000
FETCH = 256


async def wait_for_readers(stream: JetStreamContext) -> None:
    """What waits before the readers do would reach the receiver at once, which is not the chain's rate."""
    for name in ("first", "second"):
        while not (await stream.consumer_info(name, "reader")).num_waiting:  # noqa: ASYNC110 - the server tells when asked
            await asyncio.sleep(0.01)


async def send(server: Server, count: int, size: int) -> None:
    client = await server.connect()
    stream = client.jetstream(publish_async_max_pending=WINDOW)
    await asyncio.wait_for(wait_for_readers(stream), 30)
    data = bytes(size)
    for _ in range(count):
        await stream.publish_async("first", data)
    await stream.publish_async_completed()
    await client.close()


async def pass_on(server: Server, count: int) -> None:
    client = await server.connect()
    stream = client.jetstream(publish_async_max_pending=WINDOW)
    consumer = await stream.pull_subscribe_bind("reader", "first")
    taken, waiting = 0, deque[Any]()
    while taken < count or waiting:
        if taken < count:
            for message in await consumer.fetch(min(FETCH, count - taken), timeout=30):
                waiting.append((await stream.publish_async("second", message.data), message))
                taken += 1
        # go on while the server stores; at the end wait for it
        while waiting and (taken == count or waiting[0][0].done() or len(waiting) > WINDOW // 2):
            stored, message = waiting.popleft()
            await stored
            await message.ack()
    await client.flush()
    await client.close()


async def receive(server: Server, count: int) -> dict[str, float]:
    client = await server.connect()
    consumer = await client.jetstream().pull_subscribe_bind("reader", "second")
    taken, first = 0, 0.0
    while taken < count:
        for message in await consumer.fetch(min(FETCH, count - taken), timeout=30):
            first = first or time.perf_counter()
            await message.ack()
            taken += 1
    seconds = time.perf_counter() - first
    await client.flush()
    await client.close()
    return {"messages": taken, "seconds": seconds, "messages_per_second": taken / seconds}


async def make_streams(server: Server) -> None:
    client = await server.connect()
    stream = client.jetstream()
    for name in ("first", "second"):
        await stream.add_stream(
            StreamConfig(
                name=name,
                subjects=[name],
                storage=StorageType.FILE,
                retention=RetentionPolicy.INTEREST,
                discard=DiscardPolicy.NEW,
            )
        )
        consumer = ConsumerConfig(durable_name="reader", ack_policy=AckPolicy.EXPLICIT, max_ack_pending=2 * WINDOW)
        await stream.add_consumer(name, consumer)
    await client.close()


async def chain(folder: Path, count: int, size: int, durability: Any) -> dict[str, float]:
    async with serving(folder, durability) as server:
        await make_streams(server)
        loop = asyncio.get_running_loop()
        with processes(3) as pool:
            received, *_ = await asyncio.gather(
                loop.run_in_executor(pool, in_process, receive, server, count),
                loop.run_in_executor(pool, in_process, pass_on, server, count),
                loop.run_in_executor(pool, in_process, send, server, count, size),
            )
        return dict(received)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--durability", choices=["power", "process"], default="power")
    given = parser.parse_args()
    told = asyncio.run(chain(given.folder, given.count, given.size, given.durability))
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

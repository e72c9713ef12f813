"""Publish and pull with nats-py, one message at a time: from just before the publish to when the receiver has it.

The sender publishes to JetStream and waits for the acknowledgement, as it must to know that the message is stored; the
receiver, another process, has asked for the next message before it is published, and acknowledges each. Messages come
at the same rate as ours, slowly enough that there is never a queue. The server is the one that runs start, with the
same settings, and so is the stream. Prints a JSON object: seconds of each message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import time
from pathlib import Path
from typing import Any

from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from serving import Server, in_process, processes, serving

TIME = struct.Struct("<d")


async def send(server: Server, count: int, size: int, rate: float) -> None:
    client = await server.connect()
    stream = client.jetstream()
    while not (await stream.consumer_info("latency", "reader")).num_waiting:  # noqa: ASYNC110 - the server tells when asked
        await asyncio.sleep(0.01)
    rest = bytes(size - TIME.size)
    started = time.monotonic()
    for index in range(count):
        time.sleep(max(0.0, started + index / rate - time.monotonic()))  # noqa: ASYNC251 - ours sleeps in the same way
        await stream.publish("latency", TIME.pack(time.monotonic()) + rest)
    await client.close()


async def receive(server: Server, count: int) -> list[float]:
    client = await server.connect()
    consumer = await client.jetstream().pull_subscribe_bind("reader", "latency")
    seconds: list[float] = []
    while len(seconds) < count:
        try:
            (message,) = await consumer.fetch(1, timeout=30)
        except NatsTimeoutError:
            break
        seconds.append(time.monotonic() - TIME.unpack_from(message.data)[0])
        await message.ack()
    await client.flush()
    await client.close()
    return seconds


async def make_stream(server: Server) -> None:
    client = await server.connect()
    stream = client.jetstream()
    await stream.add_stream(
        StreamConfig(
            name="latency",
            subjects=["latency"],
            storage=StorageType.FILE,
            retention=RetentionPolicy.INTEREST,
            discard=DiscardPolicy.NEW,
        )
    )
    await stream.add_consumer("latency", ConsumerConfig(durable_name="reader", ack_policy=AckPolicy.EXPLICIT))
    await client.close()


async def pass_messages(folder: Path, count: int, size: int, rate: float, durability: Any) -> dict[str, Any]:
    async with serving(folder, durability) as server:
        await make_stream(server)
        loop = asyncio.get_running_loop()
        with processes(2) as pool:
            seconds, _ = await asyncio.gather(
                loop.run_in_executor(pool, in_process, receive, server, count),
                loop.run_in_executor(pool, in_process, send, server, count, size, rate),
            )
        return {"seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--size", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--durability", choices=["power", "process"], default="process")
    given = parser.parse_args()
    told = asyncio.run(pass_messages(given.folder, given.count, given.size, given.rate, given.durability))
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

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
import multiprocessing
import os
import struct
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nats
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from interactem.engine.broker import MEBIBYTE, EmbeddedBroker

TIME = struct.Struct("<d")


async def send(url: str, login: dict[str, str], count: int, size: int, rate: float) -> None:
    client = await nats.connect(url, **login)
    stream = client.jetstream()
    while not (await stream.consumer_info("latency", "reader")).num_waiting:  # noqa: ASYNC110 - the server tells when asked
        await asyncio.sleep(0.01)
    rest = bytes(size - TIME.size)
    started = time.monotonic()
    for index in range(count):
        time.sleep(max(0.0, started + index / rate - time.monotonic()))  # noqa: ASYNC251 - ours sleeps in the same way
        await stream.publish("latency", TIME.pack(time.monotonic()) + rest)
    await client.close()


async def receive(url: str, login: dict[str, str], count: int) -> list[float]:
    client = await nats.connect(url, **login)
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


async def make_stream(url: str, login: dict[str, str]) -> None:
    client = await nats.connect(url, **login)
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


def in_process(function: Any, *arguments: Any) -> Any:
    threading.Thread(target=end_with_parent, daemon=True).start()
    return asyncio.run(function(*arguments))


def end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


async def pass_messages(folder: Path, count: int, size: int, rate: float, durability: Any) -> dict[str, Any]:
    broker = await EmbeddedBroker.start(
        folder / "broker", folder / "secrets", durability=durability, store_bytes=1024 * MEBIBYTE
    )
    try:
        login = json.loads(broker.credentials.read_text())
        await make_stream(broker.url, login)
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            seconds, _ = await asyncio.gather(
                loop.run_in_executor(pool, in_process, receive, broker.url, login, count),
                loop.run_in_executor(pool, in_process, send, broker.url, login, count, size, rate),
            )
        return {"seconds": seconds}
    finally:
        await broker.stop()


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

"""nats-py's core publish and subscribe, which guarantees nothing: one sender, one receiver.

Done as nats-py documents it for speed: a callback, limits that nothing is dropped for, a pending buffer that takes many
messages at once, and a turn for the event loop every so often. The server is the one that runs start. Prints a JSON
object: messages, and seconds from the first to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg
from serving import Server, in_process, processes, serving

from interactem.engine.broker import MEBIBYTE

TURN_BYTES = 65_536
"""So much is published between two turns of the event loop."""
PENDING_BYTES = 8 * 2**20


async def send(server: Server, count: int, size: int) -> None:
    client = await server.connect(pending_size=PENDING_BYTES)
    data = bytes(size)
    turn = max(1, TURN_BYTES // size)
    for index in range(count):
        await client.publish("core", data)
        if index % turn == 0:
            await asyncio.sleep(0)
    await client.flush(timeout=60)
    await client.close()


async def receive(server: Server, count: int, ready: Any) -> dict[str, float]:
    client = await server.connect(pending_size=PENDING_BYTES)
    taken, first, last = 0, 0.0, 0.0
    done = asyncio.Event()

    async def on_message(message: Msg) -> None:
        nonlocal taken, first, last
        if not taken:
            first = time.perf_counter()
        taken += 1
        if taken == count:
            last = time.perf_counter()
            done.set()

    await client.subscribe("core", cb=on_message, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await client.flush()
    ready.set()
    await asyncio.wait_for(done.wait(), 120)
    await client.close()
    return {"messages": taken, "seconds": last - first}


async def pass_messages(folder: Path, count: int, size: int) -> dict[str, float]:
    # all that is sent may wait for the subscriber: one that is behind by more is cut off, and loses messages
    async with serving(folder, "process", max_payload=max(8 * MEBIBYTE, count * size // 8 + MEBIBYTE)) as server:
        loop = asyncio.get_running_loop()
        with multiprocessing.get_context("spawn").Manager() as manager, processes(2) as pool:
            ready = manager.Event()
            received = loop.run_in_executor(pool, in_process, receive, server, count, ready)
            await asyncio.to_thread(ready.wait, 60)
            await loop.run_in_executor(pool, in_process, send, server, count, size)
            return dict(await received)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300_000)
    parser.add_argument("--size", type=int, default=100)
    given = parser.parse_args()
    told = asyncio.run(pass_messages(given.folder, given.count, given.size))
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

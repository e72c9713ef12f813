"""How interactEM moves a message, rebuilt from its published packages: asyncio sockets over TCP, a header in JSON.

A PUSH and a PULL socket of `zmq.asyncio`; the header is a pydantic model, written and read as JSON; on both sides the
kernel runs in the event loop's executor. Prints a JSON object: messages, and seconds from the first to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from pydantic import BaseModel


class Header(BaseModel):
    subject: str
    meta: bytes | dict[str, Any] = b"{}"
    tracking: list[dict[str, Any]] | None = None


class Message(BaseModel):
    header: Header
    data: bytes


async def receive(told: Connection, count: int) -> None:
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.PULL)
    told.send(socket.bind_to_random_port("tcp://127.0.0.1"))
    loop = asyncio.get_running_loop()
    first = 0.0
    for _ in range(count):
        header, data = await socket.recv_multipart()
        first = first or time.perf_counter()
        message = Message(header=Header.model_validate_json(header), data=data)
        await loop.run_in_executor(None, len, message.data)
    told.send({"messages": count, "seconds": time.perf_counter() - first})
    context.destroy()


async def send(port: int, count: int, size: int) -> None:
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.PUSH)
    socket.connect(f"tcp://127.0.0.1:{port}")
    data = os.urandom(size)
    loop = asyncio.get_running_loop()

    def make(index: int) -> Message:
        return Message(header=Header(subject="bytes", meta={"index": index}), data=data)

    for index in range(count):
        message = await loop.run_in_executor(None, make, index)
        await socket.send_multipart([message.header.model_dump_json().encode(), message.data])
    socket.close(linger=60_000)
    context.term()


def in_process(told: Connection, count: int) -> None:
    asyncio.run(receive(told, count))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1_500)
    parser.add_argument("--size", type=int, default=1_000_000)
    given = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=in_process, args=(theirs, given.count), daemon=True)
    receiver.start()
    asyncio.run(send(ours.recv(), given.count, given.size))
    told = ours.recv()
    receiver.join()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

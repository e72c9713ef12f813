"""pynumaflow's asynchronous map of 100-byte messages, over gRPC on a Unix socket as numaflow's own core talks to it.

The server is `MapAsyncServer` as its documentation starts it, on uvloop, and its function returns what it is given. The
client stands in for the core, which is a program of its own and is not counted: one stream of requests, with so many
under way that the server never waits for one. Prints a JSON object: messages, and seconds from the first to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import uvloop
from pynumaflow.mapper import Datum, MapAsyncServer, Message, Messages
from pynumaflow.proto.mapper import map_pb2, map_pb2_grpc

WINDOW = 1_000


async def same(keys: list[str], datum: Datum) -> Messages:
    return Messages(Message(value=datum.value, keys=keys))


def serve(socket: Path) -> None:
    MapAsyncServer(same, sock_path=str(socket), server_info_file=f"{socket}.info").start()


async def pass_messages(socket: Path, count: int, size: int) -> dict[str, float]:
    async with grpc.aio.insecure_channel(f"unix://{socket}") as channel:
        await asyncio.wait_for(channel.channel_ready(), 60)
        free = asyncio.Semaphore(WINDOW)

        async def requests() -> AsyncIterator[map_pb2.MapRequest]:
            yield map_pb2.MapRequest(handshake=map_pb2.Handshake(sot=True))
            data = bytes(size)
            for index in range(count):
                await free.acquire()
                yield map_pb2.MapRequest(request=map_pb2.MapRequest.Request(value=data), id=str(index))

        taken, first, last = 0, 0.0, 0.0
        async for response in map_pb2_grpc.MapStub(channel).MapFn(requests()):
            if not response.results:
                continue  # the handshake's
            last = time.perf_counter()
            first = first or last
            taken += 1
            free.release()
        return {"messages": taken, "seconds": last - first}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=100)
    given = parser.parse_args()
    socket = given.folder.resolve() / "map.sock"
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(socket,), daemon=True)
    server.start()
    try:
        told = uvloop.run(pass_messages(socket, given.count, given.size))
    finally:
        server.terminate()
        server.join()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

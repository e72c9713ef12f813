"""pyzmq push and pull over loopback TCP without copies of its own, as its documentation says for large messages.

`copy=False` on both sides; the receiver has the frame's memory and does not look at it. Prints a JSON object: messages,
and seconds from the first to the last.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import zmq


def receive(told: Connection, count: int) -> None:
    socket = zmq.Context().socket(zmq.PULL)
    told.send(socket.bind_to_random_port("tcp://127.0.0.1"))
    socket.recv_multipart(copy=False)
    first = time.perf_counter()
    for _ in range(count - 1):
        socket.recv_multipart(copy=False)
    told.send({"messages": count, "seconds": time.perf_counter() - first})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--size", type=int, default=1_000_000)
    given = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(theirs, given.count), daemon=True)
    receiver.start()
    socket = zmq.Context().socket(zmq.PUSH)
    socket.connect(f"tcp://127.0.0.1:{ours.recv()}")
    header, data = bytes(60), os.urandom(given.size)
    for _ in range(given.count):
        socket.send_multipart([header, data], copy=False)
    told = ours.recv()
    receiver.join()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

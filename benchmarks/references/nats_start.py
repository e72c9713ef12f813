"""The least that a start can be: one bare Python process starts the server, makes a stream and passes one message.

Prints a JSON object with the reading of the machine's monotonic clock when the message had arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import nats

from interactem.engine.broker import server_program


def address(folder: Path) -> str:
    """Wait for the file in which the server tells its port. Raises `TimeoutError`."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for file in folder.glob("*.ports"):
            if (text := file.read_text()).endswith("}"):
                return str(json.loads(text)["nats"][0])
        time.sleep(0.002)
    raise TimeoutError("the server did not serve within 30 s")


async def pass_one(url: str) -> float:
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="start", subjects=["start"])
    consumer = await stream.pull_subscribe("start", "reader")
    await stream.publish("start", b"first")
    (message,) = await consumer.fetch(1, timeout=30)
    arrived = time.monotonic()
    await message.ack()
    await client.close()
    return arrived


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    store = ["--store_dir", str(folder / "store"), "--ports_file_dir", str(folder)]
    command = [str(server_program()), "--addr", "127.0.0.1", "--port", "-1", "--jetstream", *store]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        arrived = asyncio.run(pass_one(address(folder)))
    finally:
        server.terminate()
        server.wait()
    sys.stdout.write(json.dumps({"monotonic": arrived}) + "\n")


if __name__ == "__main__":
    main()

"""dora's shared memory: one node sends the same Arrow array again and again, another one counts what arrives.

`dora run` as its documentation says; the receiver's queue has room for all messages, since dora drops what is over its
bound. Prints a JSON object: how many of how many arrived, and seconds from the first that is sent to the last that did.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

FLOW = """\
nodes:
  - id: sender
    path: {file}
    args: --role send --folder {folder} --count {count} --size {size}
    outputs: [data, end]
  - id: receiver
    path: {file}
    args: --role receive --folder {folder} --count {count} --size {size}
    inputs:
      data: {{source: sender/data, queue_size: {room}}}
      end: sender/end
"""
SETTLE_SECONDS = 1.5
"""Until the receiver listens, which dora does not tell; and until what was sent is taken from the sender."""


def send(count: int, size: int, folder: Path) -> None:
    import numpy as np
    import pyarrow as pa
    from dora import Node

    node = Node()
    data = pa.array(np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8))
    time.sleep(SETTLE_SECONDS)
    (folder / "begun").write_text(str(time.monotonic()))  # what has waited in the queue would arrive at once
    for _ in range(count):
        node.send_output("data", data)
    time.sleep(SETTLE_SECONDS)  # what is sent last may overtake
    node.send_output("end", pa.array([1]))
    time.sleep(SETTLE_SECONDS)


def receive(count: int, folder: Path) -> None:
    from dora import Node

    taken, last = 0, 0.0
    for event in Node():
        if event["type"] != "INPUT" or event["id"] != "data":
            break
        last = time.monotonic()
        taken += 1
        len(event["value"])
    told = {"messages": taken, "sent": count, "seconds": last - float((folder / "begun").read_text())}
    (folder / "told.json").write_text(json.dumps(told))


def run(folder: Path, count: int, size: int) -> None:
    flow = folder / "flow.yml"
    flow.write_text(
        FLOW.format(
            file=Path(__file__).resolve(),
            folder=folder,
            count=count,
            size=size,
            room=max(1_000, 2 * count),
        )
    )
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        [programs / "dora", "run", flow.name], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    told = folder / "told.json"
    if not told.is_file():
        sys.exit(f"dora run ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    sys.stdout.write(told.read_text() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3_000)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--role", choices=["send", "receive"])
    given = parser.parse_args()
    if given.role == "send":
        send(given.count, given.size, given.folder)
    elif given.role == "receive":
        receive(given.count, given.folder)
    else:
        run(given.folder.resolve(), given.count, given.size)


if __name__ == "__main__":
    main()

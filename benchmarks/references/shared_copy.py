"""A copy into shared memory from a source that is larger than the processor's cache, by numpy. Prints a JSON object.

Source and target are walked through block by block, so that neither is in a cache when it comes round again; both have
been touched once before.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import numpy as np

BLOCKS = 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--size", type=int, default=64 * 2**20)
    given = parser.parse_args()
    source = np.ones((BLOCKS, given.size), dtype=np.uint8)
    memory = shared_memory.SharedMemory(create=True, size=BLOCKS * given.size)
    try:
        target: np.ndarray[Any, Any] = np.ndarray((BLOCKS, given.size), np.uint8, buffer=memory.buf)
        target[:] = 0
        started = time.perf_counter()
        for index in range(given.count):
            np.copyto(target[index % BLOCKS], source[index % BLOCKS])
        told = {"messages": given.count, "seconds": time.perf_counter() - started}
        del target
    finally:
        memory.close()
        memory.unlink()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

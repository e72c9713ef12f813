"""A receiver a thousand times slower than its sender: what does each process take?

    python benchmarks/slow.py [--minutes N] [--size small|middle|large] [--folder FOLDER]

The sender is not throttled, the receiver pauses with each message: 10 ms with small ones of 100 bytes, 100 ms with
those of 50 kB, which go through the broker too, 500 ms with large ones of 1 MB, which lie in shared memory. Memory,
descriptors and threads of every process, the broker's store and the arenas are sampled every five seconds and printed
at the end. Exit code 1 where a process has grown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.watching import Watch, end, growths, start
from bench.workspace import ROOT

PERIOD = 5.0
WARM_SECONDS = 60.0


SIZES = {"small": (100, 0.01), "middle": (50_000, 0.1), "large": (1_000_000, 0.5)}
"""Bytes of a message, and the seconds that it takes the receiver."""


def pipeline(size: int, pause: float) -> dict[str, Any]:
    source = {"rate": 0.0, "seconds": 1e6, "large_every": 0, "size": size}
    return {
        "name": "slow",
        "operators": {
            "source": {"operator": "steady-source", "parameters": source},
            "sink": {"operator": "count-off", "parameters": {"pause": pause}},
        },
        "edges": [{"from": "source.out", "to": "sink.in"}],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / f"slow-{time.strftime('%Y%m%d-%H%M%S')}")
    options = parser.parse_args(arguments)
    place = options.folder.absolute()
    process = start(place, pipeline(*SIZES[options.size]))
    watch = Watch(place / "run", process, PERIOD)
    try:
        asyncio.run(asyncio.wait_for(watch.follow(), options.minutes * 60))
    except TimeoutError:
        pass
    finally:
        end(process)
    return report(watch)


def report(watch: Watch) -> int:
    rows = growths(watch.samples, WARM_SECONDS)
    print(*rows, sep="\n")  # noqa: T201
    middle, last = watch.samples[len(watch.samples) // 2], watch.samples[-1]
    for what in ("store", "shared"):
        print(f"{what:24} {'bytes':12} {middle[what]:14,} {last[what]:14,}")  # noqa: T201
    return int(any(row.grew for row in rows))


if __name__ == "__main__":
    sys.exit(main())

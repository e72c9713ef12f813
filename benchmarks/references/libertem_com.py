"""LiberTEM's centre of mass of a scan of dense frames in a `.npy` file, in one process: its inline context.

The first run compiles and does not count; the best of those after it does. Prints a JSON object: frames, and seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import libertem.api as lt
from libertem.udf.com import CoMUDF

RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--file", type=Path, required=True)
    given = parser.parse_args()
    with lt.Context.make_with("inline") as context:
        scan = context.load("npy", path=str(given.file))
        rows, columns = scan.shape.sig
        udf = CoMUDF.with_params(cy=rows / 2, cx=columns / 2)
        seconds = []
        for _ in range(1 + RUNS):
            started = time.perf_counter()
            result = context.run_udf(dataset=scan, udf=udf)
            seconds.append(time.perf_counter() - started)
    told = {
        "frames": scan.shape.nav.size,
        "seconds": min(seconds[1:]),
        "row": float(result["raw_com"].data[..., 0].mean()),
        "column": float(result["raw_com"].data[..., 1].mean()),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

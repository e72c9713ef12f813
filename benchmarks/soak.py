"""Runs a pipeline at a steady rate for a long time and tells whether anything grows: `make soak`.

    python benchmarks/soak.py [--minutes N] [--rate N] [--kill-every SECONDS] [--folder FOLDER]

The pipeline has small and large messages, a kernel that fails with some of them, state, and sinks; now and then a
replica is killed. Every ten seconds the memory, descriptors and threads of every process of the run are sampled, and
the checkpoints in the broker, with the number of intervals that their applied ids take. At the end the outputs are
checked, and the medians of an early and of the last quarter are compared. Exit code 0: nothing is lost or doubled, and
nothing has grown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.watching import Watch, end, growths, start
from bench.workspace import ROOT

PERIOD = 10.0


def pipeline(options: argparse.Namespace) -> dict[str, Any]:
    seconds = options.minutes * 60
    source = {"rate": options.rate, "seconds": seconds, "large_every": options.large_every}
    return {
        "name": "soak",
        "operators": {
            "source": {"operator": "steady-source", "parameters": source},
            "unsteady": {"operator": "unsteady", "replicas": 2},
            "sum": {"operator": "running-sum"},
            "total": {"operator": "count-off", "parameters": {"file": "total.json"}},
            "sink": {"operator": "count-off"},
        },
        "edges": [
            {"from": "source.out", "to": "unsteady.in"},
            {"from": "unsteady.out", "to": "sum.in"},
            {"from": "unsteady.out", "to": "sink.in"},
            {"from": "sum.total", "to": "total.in"},
        ],
    }


def check_outputs(options: argparse.Namespace, folder: Path) -> list[str]:
    """What is wrong with what came out."""
    count = int(options.rate * options.minutes * 60)
    always = 100003
    dead = len(range(always - 1, count, always))
    expected = {"count": count - dead, "sum": sum(range(count)) - sum(range(always - 1, count, always))}
    wrong = []
    for name in ("count.json", "total.json"):
        found = json.loads((folder / "outputs" / name).read_text())
        if {key: found.get(key) for key in expected} != expected:
            wrong.append(f"{name} has {found}, and should have {expected}")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1000, help="messages a second")
    parser.add_argument("--large-every", type=int, default=500, help="each so many messages one of 1 MB; 0: none")
    parser.add_argument("--kill-every", type=float, default=60, help="seconds; 0: nobody is killed")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / f"soak-{time.strftime('%Y%m%d-%H%M%S')}")
    options = parser.parse_args(arguments)
    place = options.folder.absolute()
    process = start(place, pipeline(options))
    watch = Watch(place / "run", process, PERIOD, options.kill_every)
    try:
        asyncio.run(watch.follow())
    finally:
        end(process)
    wrong = (
        [f"the run ended with {process.returncode}"] if process.returncode else check_outputs(options, place / "run")
    )
    return report(watch, wrong)


def report(watch: Watch, wrong: list[str]) -> int:
    rows = growths(watch.samples)
    print(*rows, sep="\n")  # noqa: T201
    wrong += [f"{row.process}: {row.figure} grew from {row.first:,.0f} to {row.last:,.0f}" for row in rows if row.grew]
    most = {what: max(each[what] for each in watch.samples) for what in ("store", "shared")}
    print(f"kills {watch.kills}, most bytes {most}, wrong {len(wrong)}", *wrong, sep="\n")  # noqa: T201
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

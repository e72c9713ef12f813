"""Centre of mass of dense frames, with the operators that users have, beside LiberTEM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.measurements import Measurement, Reference, Row
from bench.rows.lines import LIMIT, rate, seconds_of
from bench.workspace import Workspace

SIDE = 256
PER_MESSAGE = 32
WHOLE = {"crop_to_x": None, "crop_to_y": None, "init_center_x": None, "init_center_y": None}


def scan_shape(workspace: Workspace) -> tuple[int, int]:
    return workspace.size(128, 8), workspace.size(64, 16)


def make_scan(path: Path, rows: int, columns: int) -> None:
    """Counts with a mean of two in each pixel; one row of the scan, again and again."""
    import numpy as np

    frames = np.random.default_rng(0).poisson(2.0, (columns, SIDE, SIDE)).astype(np.uint16)
    scan = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=(rows, columns, SIDE, SIDE))
    for row in scan:
        row[:] = frames
    scan.flush()


def scan(workspace: Workspace) -> tuple[Path, int]:
    rows, columns = scan_shape(workspace)
    return workspace.file("scan.npy", lambda path: make_scan(path, rows, columns)), rows * columns


def pipeline(file: Path) -> dict[str, Any]:
    """The receiver beside the reduce tells when the partial results came."""
    return {
        "name": "science",
        "operators": {
            "frames": {
                "operator": "frame-reader",
                "parameters": {"file": str(file), "frames_per_message": PER_MESSAGE},
            },
            "partial": {"operator": "center-of-mass-partial", "replicas": 2, "parameters": WHOLE},
            "reduce": {"operator": "center-of-mass-reduce"},
            "receiver": {"operator": "benchmark-receiver"},
        },
        "edges": [
            {"from": "frames.frames", "to": "partial.in"},
            {"from": "partial.com_partial", "to": "reduce.com_partial"},
            {"from": "partial.com_partial", "to": "receiver.in"},
        ],
    }


def ours(workspace: Workspace) -> Measurement:
    file, frames = scan(workspace)
    run = workspace.run_pipeline(pipeline(file), limit=LIMIT)
    messages = frames // PER_MESSAGE
    seconds = seconds_of(messages, json.loads(run.outputs["benchmark.json"]))
    return Measurement(rate(messages, seconds) * PER_MESSAGE, run.finished.cpu_seconds)


def libertem(workspace: Workspace) -> Measurement:
    file, frames = scan(workspace)
    told, finished = workspace.run_reference("libertem_com.py", "--file", str(file), limit=LIMIT, elsewhere=True)
    if told["frames"] != frames:
        raise ValueError(f"LiberTEM saw {told['frames']} frames of {frames}")
    return Measurement(frames / told["seconds"], finished.cpu_seconds)


SCIENCE = Row(
    name="science",
    unit="frames/s",
    about=f"centre of mass of {SIDE} x {SIDE} 16-bit dense frames: .npy file to two partials to reduce",
    ours=ours,
    references=(Reference("LiberTEM's inline context on the same file, started and compiled", libertem, 1.0),),
)

"""Kinds in containers, under `kill -9` and worse: `make chaos` with a container engine as the launcher."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.containers, pytest.mark.slow]

PROGRAM = Path(__file__).parents[1] / "chaos"
SHAPES = ("keyed", "windows", "batches", "processes", "side-input")


def test_nothing_is_lost_and_nothing_doubled_in_containers(base_images, tmp_path):
    chosen = [word for shape in SHAPES for word in ("--shape", shape)]
    process = subprocess.Popen(
        [sys.executable, PROGRAM, "--launcher", base_images["docker"].name, "--folder", tmp_path, "--seed", "2024",
         "--faults", "12", "--messages", "1000", "--json", *chosen],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    value = json.loads(out)
    assert [case["shape"] for case in value["cases"]] == list(SHAPES)
    assert value["kinds"]["kill replica"] >= 4
    assert (value["lost"], value["doubled"], value["failed"]) == (0, 0, 0)
    images = base_images["docker"].command("images", "-q", "--filter", f"reference=interactem-chaos-{process.pid}/*")
    assert images.stdout == ""

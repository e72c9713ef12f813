"""`pipelines/sensor-minutes.json` against the same sums by hand: times and keys come from the source's transform."""

from __future__ import annotations

import csv
import math
import random
from collections import defaultdict
from pathlib import Path

import pytest

PIPELINE = Path(__file__).parents[2] / "pipelines" / "sensor-minutes.json"
BEGIN = 1_714_557_600
HEADER = "at,station,value"


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.broker)])
def minutes(request, pipeline, tmp_path):
    """What the pipeline writes about rows: its statistics and the late rows, as sorted lines."""
    broker = request.getfixturevalue("broker") if request.param == "nats" else None

    def run(rows, **parameters):
        file = tmp_path / "readings.csv"
        file.write_text("".join(f"{line}\n" for line in [HEADER, *rows]))
        given = {"file": str(file), "time": "at", "key": "station", **parameters}
        result = pipeline(PIPELINE, {"rows": given}, broker=broker)
        assert result.dead == []
        return [lines(result.outputs / name) for name in ("minutes.csv", "late.csv")]

    return run


def lines(file):
    return sorted(file.read_text().splitlines()[1:]) if file.exists() else []


def by_hand(rows):
    """count, mean, least and largest, in the very digits of the operator."""
    found = defaultdict(list)
    for time, station, value in csv.reader(rows):
        found[station, (int(float(time)) - BEGIN) // 60].append(float(value))
    return sorted(
        f"{station},2024-05-01T10:{minute:02}Z,{len(v)},{math.fsum(v) / len(v)},{min(v)},{max(v)}"
        for (station, minute), v in found.items()
    )


def readings(count):
    """Rows of five stations, each at most half a minute out of its place."""
    chance = random.Random(5)
    shaken = sorted(range(count), key=lambda number: number + chance.uniform(0, 30))
    return [f"{BEGIN + number + 0.5},s{number % 5},{chance.gauss(20, 5)}" for number in shaken]


def test_every_row_is_in_its_minute_or_late(minutes):
    rows = readings(600)
    behind = [f"{BEGIN + 3},s1,7.0", f"{BEGIN + 400},s2,8.0"]
    found, late = minutes([*rows, *behind])
    # a row is late by the watermark of the batch that it comes in, and batches are as it happens
    assert set(late) <= set(behind)
    assert found == by_hand([*rows, *(row for row in behind if row not in late)])


def test_incomplete_rows_are_left_out_at_the_source(minutes):
    rows = readings(300)
    holes = [f"{BEGIN},s0,", f"{BEGIN + 5},,3.0", f"{BEGIN + 9}"]
    mixed = [line for row, hole in zip(rows, holes * 100, strict=True) for line in (hole, row)]
    assert minutes(mixed, complete=True) == [by_hand(rows), []]

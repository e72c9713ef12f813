from __future__ import annotations

import json
import math

import msgpack
import pytest

from interactem.runtime.statistics import TIMES, Counts, Statistics


def counts(**numbers):
    found = Counts(**numbers)
    found.kernel_times.record(0.25)
    found.telling.count("spots", 3)
    found.telling.set("threshold", 0.5)
    return found


def test_what_a_replica_counts_travels():
    value = counts(received=5, sent=3, received_bytes=500, retried=1).to_value()
    for told in (msgpack.unpackb(msgpack.packb(value)), json.loads(json.dumps(value))):
        read = Statistics.from_value(told)
        assert (read.totals["received"], read.totals["sent"], read.totals["received_bytes"]) == (5, 3, 500)
        assert read.times["kernel"].percentile(50) == pytest.approx(0.25, rel=0.04)
        assert (read.counters, read.gauges) == ({"spots": 3}, {"threshold": 0.5})
        assert read.totals["cpu_seconds"] > 0
        assert read.peak_memory >= read.latest["memory_bytes"] / 2 > 0


def test_statistics_add_up():
    one, other = (Statistics.from_value(counts(received=n, waiting=n).to_value()) for n in (2, 5))
    one.add(other)
    assert one.totals["received"] == 7
    assert one.latest["waiting"] == 7
    assert one.times["kernel"].count == 2
    assert one.counters == {"spots": 6}
    assert one.gauges == {"threshold": 0.5}


def test_two_starts_of_a_replica_are_told_apart():
    assert Counts().born != Counts().born


def test_the_mean_of_a_call_follows_what_it_is_now():
    found = Counts()
    found.timed(1, 1.0)
    assert found.kernel == 1.0
    found.timed(1000, 1.0)
    assert 0.001 <= found.kernel < 0.02
    assert found.busy_seconds == 2.0


VALUE = counts(received=1).to_value()


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        3,
        [],
        {},
        {**VALUE, "version": 2},
        {**VALUE, "received": -1},
        {**VALUE, "received": 1.5},
        {**VALUE, "received": True},
        {**VALUE, "received": 2**70},
        {**VALUE, "cpu_seconds": math.nan},
        {**VALUE, "busy_seconds": "1"},
        {**VALUE, "times": {}},
        {**VALUE, "times": {name: {} for name in TIMES}},
        {**VALUE, "author": None},
        {**VALUE, "author": {"counters": [], "gauges": {}, "progress": None, "status": ""}},
        {**VALUE, "author": {"counters": {"a": "b"}, "gauges": {}, "progress": None, "status": ""}},
        {**VALUE, "author": {"counters": dict.fromkeys(range(99), 1), "gauges": {}, "progress": None, "status": ""}},
        {**VALUE, "author": {"counters": {"a b": 1}, "gauges": {}, "progress": None, "status": ""}},
        {**VALUE, "author": {"counters": {}, "gauges": {"a" * 64: 1}, "progress": None, "status": ""}},
        {name: number for name, number in VALUE.items() if name != "waiting"},
    ],
)
def test_what_is_no_report_is_refused(wrong):
    with pytest.raises(ValueError, match=r".+"):
        Statistics.from_value(wrong)

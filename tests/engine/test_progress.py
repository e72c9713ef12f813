from __future__ import annotations

import json

import pytest

from interactem.engine.progress import OperatorProgress, Rate, ReplicaProgress, Tally, together
from interactem.engine.summaries import operator_numbers, times
from interactem.runtime.statistics import Counts, Statistics


def told(born="a", **numbers):
    """What a replica says of itself; `kernel` is how long its calls took."""
    kernel = numbers.pop("kernel", ())
    counts = Counts(born=born, **numbers)
    for seconds in kernel:
        counts.kernel_times.record(seconds)
    counts.telling.set("level", len(born))
    counts.telling.count("spots", 1)
    return Statistics.from_value(counts.to_value())


def test_what_starts_said_last_adds_up():
    tally = Tally()
    tally.hear(0, told(received=5))
    tally.hear(0, told(received=7, sent=3))
    tally.hear(1, told(received=10))
    assert (tally.total("received"), tally.total("sent")) == (17, 3)
    tally.close(0)
    tally.close(0)  # nothing was said since
    tally.hear(0, told("b", received=1))
    assert tally.total("received") == 18
    tally.close(9)
    assert tally.total("received") == 18


def test_another_supervisor_goes_on_counting():
    before, after = Tally(), Tally()
    before.hear(0, told("a", received=7, kernel=[1.0]))
    before.close(0)
    after.take_up(0, json.loads(json.dumps(before.past(0))))
    after.take_up(1, before.past(1))
    after.hear(0, told("b", received=1, kernel=[1.0]))
    assert (after.total("received"), after.of(0).times["kernel"].count) == (8, 2)


def test_a_new_start_is_known_by_what_it_says():
    tally = Tally()
    tally.hear(0, told("a", received=7))
    tally.hear(0, told("b", received=1))
    tally.hear(0, told("a", received=8))  # which was on its way when it ended
    tally.hear(0, told("b", received=2))
    assert tally.total("received") == 9


def test_a_replica_has_the_counts_of_all_its_starts_and_the_rest_of_its_last():
    tally = Tally()
    tally.hear(0, told("a", kernel=[1.0] * 3, waiting=7))
    tally.hear(0, told("bb", kernel=[2.0], waiting=2))
    found = tally.of(0)
    assert found.times["kernel"].count == 4
    assert found.times["kernel"].percentile(50) == pytest.approx(1.0, rel=0.04)
    assert found.counters == {"spots": 2}
    assert (found.latest["waiting"], found.gauges) == (2, {"level": 2})
    tally.close(0)
    assert tally.of(0).latest == {}


def test_one_that_does_not_run_holds_nothing():
    tally = Tally()
    tally.hear(0, told(received=4, waiting=7))
    options = {"restarts": 1, "source": False, "gpu": None}
    assert tally.replica(0, 0.0, running=True, **options).statistics.latest["waiting"] == 7
    ended = tally.replica(0, 2.0, running=False, **options)
    assert (ended.statistics.latest, ended.statistics.totals["received"], ended.rate) == ({}, 4, 0.0)


def test_progress_is_that_of_the_start():
    tally = Tally()
    assert tally.progress_of(0) == 0
    tally.hear(0, told(retried=1))
    assert tally.progress_of(0) > 0
    tally.close(0)
    assert tally.progress_of(0) == 0


def test_a_rate_is_over_the_last_seconds():
    rate = Rate(seconds=2)
    assert rate.at(0.0, 100) == 0
    assert rate.at(1.0, 110) == 10
    assert rate.at(2.0, 120) == 10
    assert rate.at(4.0, 120) == 0
    assert rate.at(5.0, 90) == 0, "what was taken back is no negative rate"
    for time in range(6, 100):
        rate.at(float(time), 120)
    assert len(rate._points) <= 4


def test_an_operator_is_told_with_its_replicas():
    each = tuple(
        ReplicaProgress(
            index, running=True, rate=5.0, statistics=told(received=index + 1, kernel=[0.001] * (index + 1))
        )
        for index in range(2)
    )
    row = OperatorProgress("mean", 2, running=2, received=3, rate=10.0, waiting=4, each=each, statistics=together(each))
    numbers = operator_numbers(row)
    assert (numbers["received"], numbers["rate"], numbers["waiting"], numbers["replicas"]) == (3, 10.0, 4, 2)
    assert numbers["kernel"] == {
        "p50": pytest.approx(0.001, rel=0.04),
        "p99": pytest.approx(0.001, rel=0.04),
        "count": 3,
    }
    assert numbers["counters"] == {"spots": 2}
    first, second = numbers["by_replica"]
    assert (first["replica"], first["received"], first["kernel"]["count"], second["received"]) == (0, 1, 1, 2)
    assert first["author"] == {"gauges": {"level": 1}, "progress": None, "status": ""}
    assert "gpu" not in first
    assert numbers["memory_bytes"] == first["memory_bytes"] + second["memory_bytes"]


def test_times_of_nothing_are_not_known():
    assert times(Statistics(), "kernel") == {"p50": None, "p99": None, "count": 0}

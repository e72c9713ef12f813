from __future__ import annotations

import json
import math

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.runtime.histograms import BUCKETS, ERROR, LONGEST, SHORTEST, Histogram, lower_bound

PERCENTS = (1, 25, 50, 90, 99, 99.9, 100)
times = st.lists(st.floats(SHORTEST, LONGEST, exclude_max=True), min_size=1, max_size=300)


def histogram(seconds):
    found = Histogram()
    for each in seconds:
        found.record(each)
    return found


@given(times)
def test_percentiles_are_those_of_numpy_within_the_stated_error(seconds):
    found = histogram(seconds)
    for percent in PERCENTS:
        exact = np.percentile(seconds, percent, method="inverted_cdf")
        assert found.percentile(percent) == pytest.approx(exact, rel=ERROR)


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0])
def test_percentiles_of_many(scale):
    seconds = np.random.default_rng(7).lognormal(sigma=2.0, size=50_000) * scale
    found = histogram(seconds.tolist())
    for percent in PERCENTS:
        exact = np.percentile(seconds, percent, method="inverted_cdf")
        assert found.percentile(percent) == pytest.approx(exact, rel=ERROR)
    assert found.count == 50_000
    assert found.sum == pytest.approx(seconds.sum())
    assert len(found.buckets) <= BUCKETS


@given(times, times)
def test_merged_is_as_if_all_had_been_recorded_in_one(some, others):
    merged = histogram(some)
    merged.add(histogram(others))
    whole = histogram(some + others)
    assert merged.buckets == whole.buckets
    assert merged.sum == pytest.approx(whole.sum)


@given(times)
def test_a_histogram_travels(seconds):
    found = histogram(seconds)
    assert Histogram.from_value(msgpack.unpackb(msgpack.packb(found.to_value()))) == found
    assert Histogram.from_value(json.loads(json.dumps(found.to_value()))) == found


@given(times, st.integers(-20, 15))
def test_counts_below_a_power_of_two_are_exact(seconds, power):
    bound = 2.0**power
    assert histogram(seconds).below([bound]) == [sum(each < bound for each in seconds)]


def test_counts_below_several_bounds_add_up():
    assert histogram([0.3, 0.6, 3.0, 3.9, 5.0]).below([0.5, 1.0, 2.0, 4.0, 8.0]) == [1, 2, 2, 4, 5]


def test_buckets_begin_where_the_ones_before_end():
    for index in range(BUCKETS):
        begin, end = lower_bound(index), lower_bound(index + 1)
        assert begin < end
        assert histogram([begin]).buckets == histogram([math.nextafter(end, 0)]).buckets == {index: 1}


def test_what_is_too_short_or_too_long_is_counted_at_the_ends():
    assert histogram([0.0, 1e-12, -1e-9]).buckets == {0: 3}
    assert histogram([LONGEST, 1e9, math.inf]).buckets == {BUCKETS - 1: 3}
    assert histogram([-1.0, 0.5, math.inf]).sum == 0.5 + LONGEST


def test_there_is_no_percentile_of_nothing():
    assert Histogram().percentile(50) is None
    assert Histogram().below([1.0]) == [0]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"sum": 1.0, "indexes": [1], "counts": []},
        {"sum": 1.0, "indexes": [1, 1], "counts": [1, 1]},
        {"sum": 1.0, "indexes": [-1], "counts": [1]},
        {"sum": 1.0, "indexes": [BUCKETS], "counts": [1]},
        {"sum": 1.0, "indexes": [1], "counts": [-1]},
        {"sum": 1.0, "indexes": [1.0], "counts": [1]},
        {"sum": 1.0, "indexes": [[]], "counts": [1]},
        {"sum": math.nan, "indexes": [], "counts": []},
        {"sum": None, "indexes": [], "counts": []},
        {"sum": 0.0, "indexes": None, "counts": None},
    ],
)
def test_what_is_not_a_histogram_is_refused(value):
    with pytest.raises((ValueError, TypeError, KeyError)):
        Histogram.from_value(value)

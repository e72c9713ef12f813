"""Maps are the same, bit for bit, whatever the order in which their parts come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distiller_streaming import COMPartial, FrameFormatError, FramesHeader, ScanMaps

SCAN = (5, 7)
TRUTH = np.random.default_rng(0).normal(size=(2, *SCAN)) * 1e3
TRUTH[:, 2, 3] = np.nan  # a frame that had no centre


def parts(sizes):
    """Partial results of consecutive positions, of these sizes in turn."""
    flat, start = TRUTH.reshape(2, -1), 0
    while start < flat.shape[1]:
        stop = min(start + sizes[start % len(sizes)], flat.shape[1])
        yield COMPartial(FramesHeader(SCAN, (8, 8), range(start, stop)), flat[:, start:stop])
        start = stop


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_maps(sizes, random):
    arrived = list(parts(sizes))
    random.shuffle(arrived)
    state = {}
    for partial in arrived:
        ScanMaps(state).add(partial)
    maps = ScanMaps(state)
    assert maps.filled == maps.total == 35
    assert maps.to_bytes_message(final=True).array.tobytes() == TRUTH.tobytes()


@given(st.lists(st.integers(0, 11), max_size=40))
def test_what_comes_again_changes_nothing(indices):
    arrived = list(parts([3]))
    state = {}
    for index in indices:
        ScanMaps(state).add(arrived[index])
    once = {}
    for index in sorted(set(indices)):
        ScanMaps(once).add(arrived[index])
    assert ScanMaps(state).filled == ScanMaps(once).filled
    if indices:
        assert ScanMaps(state).to_bytes_message().array.tobytes() == ScanMaps(once).to_bytes_message().array.tobytes()


def test_parts_may_overlap_and_be_scattered():
    flat = TRUTH.reshape(2, -1)
    state = {}
    for positions in ([0, 34, 7], [7, 8], list(range(34, -1, -1))):
        ScanMaps(state).add(COMPartial(FramesHeader(SCAN, (8, 8), positions), flat[:, positions]))
    assert ScanMaps(state).filled == 35
    np.testing.assert_array_equal(state["com"], TRUTH)


def test_revisions_grow_and_the_last_one_wins():
    state, revisions = {}, []
    for partial in parts([10]):
        ScanMaps(state).add(partial)
        revisions.append(ScanMaps(state).to_bytes_message().meta["revision"])
    final = ScanMaps(state).to_bytes_message(final=True).meta
    assert revisions == sorted(set(revisions))
    assert final["revision"] > revisions[-1]
    assert (final["filled"], final["total"], final["final"]) == (35, 35, True)


def test_a_position_with_another_value_is_refused_and_changes_nothing():
    state = {}
    for partial in parts([35]):
        ScanMaps(state).add(partial)
    other = COMPartial(FramesHeader(SCAN, (8, 8), [3, 4]), TRUTH.reshape(2, -1)[:, [3, 3]])
    with pytest.raises(FrameFormatError, match="position 4 came twice"):
        ScanMaps(state).add(other)
    np.testing.assert_array_equal(state["com"], TRUTH)


def test_a_scan_of_another_shape_is_refused():
    state = {}
    ScanMaps(state).add(next(parts([1])))
    with pytest.raises(FrameFormatError, match=r"shape \(7, 5\) came into one of \(5, 7\)"):
        ScanMaps(state).add(COMPartial(FramesHeader((7, 5), (8, 8), [0]), np.zeros((2, 1))))


def test_nothing_has_come():
    maps = ScanMaps({})
    assert (maps.started, maps.filled, maps.total) == (False, 0, 0)

"""`com_sparse` against the formulas written as plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from distiller_streaming import BatchedFrames, FramesHeader, com_sparse, count_electrons, fill_nans


def in_loops(frame, center=None, crop=None):
    """The centre of one frame: Σ n·y / Σ n and Σ n·x / Σ n over what is strictly inside."""
    if crop is not None and center is None:
        center = in_loops(frame)
    total = row_sum = column_sum = 0
    for y, x in np.ndindex(*frame.shape):
        inside = crop is None or (
            center[0] - crop[0] < y < center[0] + crop[0] and center[1] - crop[1] < x < center[1] + crop[1]
        )
        if inside:
            count = int(frame[y, x])
            total, row_sum, column_sum = total + count, row_sum + count * y, column_sum + count * x
    return (row_sum / total, column_sum / total) if total else (math.nan, math.nan)


def dense(frames):
    frames = np.asarray(frames)
    return BatchedFrames(FramesHeader((1, max(1, len(frames))), frames.shape[1:], range(len(frames))), frames)


FRAMES = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: arrays.arrays(np.uint16, shape, elements=st.integers(0, 5), fill=st.just(0))
)
PAIRS = st.none() | st.tuples(st.integers(-2, 8), st.integers(-2, 8))
HALF_WIDTHS = (
    st.none() | st.tuples(st.integers(-1, 6), st.integers(-1, 6)) | st.tuples(st.floats(0, 6), st.floats(0, 6))
)


@given(FRAMES, PAIRS, HALF_WIDTHS)
def test_dense_and_sparse_frames_give_exactly_what_the_loops_give(frames, center, crop):
    expected = np.array([in_loops(frame, center, crop) for frame in frames]).T
    batch = dense(frames)

    from_dense = com_sparse(batch, center, crop, replace_nans=False)
    from_sparse = com_sparse(count_electrons(batch), center, crop, replace_nans=False)

    assert from_dense.dtype == np.float64
    np.testing.assert_array_equal(from_dense, expected)
    np.testing.assert_array_equal(from_sparse, expected)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "u4", "i4", "f4", "f8", "bool"])
def test_every_type_of_frame_gives_the_same(dtype):
    frames = (np.random.default_rng(0).integers(0, 4, (3, 9, 11)) > 1).astype(dtype)
    np.testing.assert_array_equal(com_sparse(dense(frames)), com_sparse(dense(frames.astype(np.int64))))


def test_bounds_are_strict():
    # rows 0 to 4 with a crop of 2 around 2: rows 1, 2 and 3 count, rows 0 and 4 lie on the bounds
    frame = np.array([[100], [1], [1], [4], [100]], dtype=np.uint16)
    centers = com_sparse(dense([frame]), init_center=(2, 0), crop_to=(2, 1))
    assert centers.tolist() == [[(1 + 2 + 12) / 6], [0.0]]


def test_coordinates_are_row_and_column():
    frame = np.zeros((4, 6), dtype=np.uint16)
    frame[1, 5] = 3
    frame[3, 0] = 3
    assert com_sparse(dense([frame])).tolist() == [[2.0], [2.5]]
    assert com_sparse(dense([frame]), init_center=(1, 5), crop_to=(1, 1)).tolist() == [[1.0], [5.0]]


def test_a_centre_without_a_crop_has_no_part_in_it():
    frames = np.random.default_rng(1).integers(0, 9, (2, 5, 5), dtype=np.uint16)
    np.testing.assert_array_equal(com_sparse(dense(frames), init_center=(0, 0)), com_sparse(dense(frames)))


def test_nothing_inside_is_nan_or_the_mean_of_the_others():
    frames = np.zeros((3, 4, 4), dtype=np.uint16)
    frames[0, 1, 1] = frames[2, 3, 2] = 1
    np.testing.assert_array_equal(com_sparse(dense(frames), replace_nans=False), [[1, np.nan, 3], [1, np.nan, 2]])
    np.testing.assert_array_equal(com_sparse(dense(frames)), [[1, 2, 3], [1, 1.5, 2]])


def test_without_any_other_frame_it_stays_nan():
    assert np.isnan(com_sparse(dense(np.zeros((2, 3, 3), dtype=np.uint8)))).all()


def test_filling_maps_leaves_the_given_ones_alone():
    maps = np.array([[[1.0, np.nan], [3.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]])
    before = maps.copy()
    np.testing.assert_array_equal(fill_nans(maps)[0], [[1.0, 8 / 3], [3.0, 4.0]])
    np.testing.assert_array_equal(maps, before)


def test_a_batch_of_no_frames():
    assert com_sparse(dense(np.zeros((0, 3, 3), dtype=np.uint16))).shape == (2, 0)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("crop", [None, (20, 30)])
def test_a_frame_gives_the_same_bits_in_whatever_batch_it_travels(dtype, crop):
    frames = (np.random.default_rng(2).poisson(3.0, (37, 96, 80)) * 1.1).astype(dtype)
    together = com_sparse(dense(frames), crop_to=crop)
    alone = np.concatenate([com_sparse(dense(frames[i : i + 1]), crop_to=crop) for i in range(len(frames))], axis=1)
    np.testing.assert_array_equal(together, alone)


def test_large_counts_are_summed_exactly():
    frame = np.full((256, 256), 2**24 + 1, dtype=np.uint32)
    frame[0, 0] = 0
    total = (2**24 + 1) * (256 * 256 - 1)
    moment = (2**24 + 1) * 256 * (255 * 256 // 2)
    assert com_sparse(dense([frame])).tolist() == [[moment / total], [moment / total]]


def test_frames_of_floats_are_near_the_exact_sum():
    frame = np.random.default_rng(3).random((1, 40, 50)).astype(np.float32)
    y, x = np.mgrid[:40, :50]
    total = math.fsum(frame.ravel().tolist())
    expected = [math.fsum((frame[0].astype(float) * index).ravel()) / total for index in (y, x)]
    np.testing.assert_allclose(com_sparse(dense(frame))[:, 0], expected, rtol=1e-13)

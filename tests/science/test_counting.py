import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from distiller_streaming import BatchedFrames, FrameFormatError, FramesHeader, SettingError, count_electrons, counting


def batch_of(frames):
    return BatchedFrames(FramesHeader((1, len(frames)), frames.shape[1:], range(len(frames))), frames)


@given(arrays.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 4), fill=st.just(0)))
def test_counting_loses_nothing(frames):
    counted = count_electrons(batch_of(frames))
    assert counted.sparse
    np.testing.assert_array_equal(counted.to_dense().array, frames)


@given(arrays.arrays(np.float32, (2, 5, 6), elements=st.integers(0, 3).map(float)), st.floats(-1, 3))
def test_peaks_are_above_the_threshold_and_their_neighbours(frames, threshold):
    counted = count_electrons(batch_of(frames), "peaks", threshold).to_dense().array
    for frame, found in zip(frames, counted, strict=True):
        padded = np.pad(frame, 1, constant_values=-np.inf)
        for y, x in np.ndindex(*frame.shape):
            around = padded[y : y + 3, x : x + 3].ravel()
            before, after = around[:4], around[5:]
            expected = float(frame[y, x]) > threshold and (frame[y, x] > before).all() and (frame[y, x] >= after).all()
            assert found[y, x] == expected


def test_negative_counts_are_no_electrons():
    frames = np.array([[[-3, 2]]], dtype=np.int16)
    assert count_electrons(batch_of(frames)).array.tolist() == [1, 1]


def test_booleans_count_as_one():
    assert count_electrons(batch_of(np.array([[[True, False, True]]]))).array.tolist() == [0, 2]


def test_too_bright_frames_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(counting, "MOST_EVENTS", 9)
    with pytest.raises(FrameFormatError, match="hold 10 electrons"):
        count_electrons(batch_of(np.array([[[5, 5]]], dtype=np.uint16)))


def test_an_unknown_method():
    with pytest.raises(SettingError, match="counts, peaks"):
        count_electrons(batch_of(np.zeros((1, 2, 2), np.uint8)), "guess")

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distiller_streaming import BatchedFrames, COMPartial, FrameFormatError, FramesHeader
from interactem.runtime import BytesMessage, MessageHeader


def frames(dtype="u2"):
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(dtype)
    return BatchedFrames(FramesHeader((2, 2), (3, 4), [3, 0]), array)


def events(pixel=11):
    return BatchedFrames(FramesHeader((2, 2), (3, 4), range(1, 4)), np.array([pixel, 0, 0]), np.array([1, 0, 2]))


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i4", "f4", "f8", "bool"])
def test_dense_frames_travel_in_a_message(dtype):
    batch = frames(dtype)
    back = BatchedFrames.from_bytes_message(batch.to_bytes_message())
    assert back.header == batch.header
    assert not back.sparse
    np.testing.assert_array_equal(back.array, batch.array)
    assert back.array.dtype.newbyteorder("=") == batch.array.dtype.newbyteorder("=")


def test_sparse_frames_travel_in_a_message():
    back = BatchedFrames.from_bytes_message(events().to_bytes_message())
    assert back.sparse
    assert (back.array.tolist(), back.counts.tolist()) == ([11, 0, 0], [1, 0, 2])
    assert back.header.positions == range(1, 4)


@pytest.mark.parametrize(("side", "dtype"), [(256, "<u2"), (257, "<u4")])
def test_events_take_as_little_room_as_the_frame_allows(side, dtype):
    last = side * side - 1
    batch = BatchedFrames(FramesHeader((1, 1), (side, side), [0]), np.array([last]), np.array([1]))
    message = batch.to_bytes_message()
    assert message.meta["dtype"] == dtype
    assert BatchedFrames.from_bytes_message(message).array.tolist() == [last]


def test_reading_does_not_copy():
    for batch in (frames(), events()):
        message = batch.to_bytes_message()
        data = np.frombuffer(message.data, np.uint8)
        array = BatchedFrames.from_bytes_message(message).array
        assert np.shares_memory(array, data)
        assert not array.flags.writeable


def test_sending_frames_in_order_does_not_copy():
    batch = frames()
    assert np.shares_memory(np.frombuffer(batch.to_bytes_message().data, np.uint8), batch.array)


def test_sparse_frames_become_dense_ones():
    array = events().to_dense(np.uint8).array
    assert array.dtype == np.uint8
    assert array.reshape(3, -1).tolist() == [[0] * 11 + [1], [0] * 12, [2] + [0] * 11]


@given(st.lists(st.integers(0, 99), unique=True))
def test_positions_travel(positions):
    header = FramesHeader((10, 10), (1, 1), positions)
    back = FramesHeader.from_meta(header.to_meta())
    assert back == header
    assert list(back.positions) == positions


def test_consecutive_positions_travel_as_their_start():
    assert FramesHeader((10, 10), (1, 1), [5, 6, 7]).to_meta()["positions"] == {"start": 5, "count": 3}


@pytest.mark.parametrize(
    ("scan", "frame", "positions", "says"),
    [
        ((2, 2), (3, 4), [4], "position 4 is outside a scan of shape (2, 2)"),
        ((2, 2), (3, 4), [-1], "position -1 is outside"),
        ((2, 2), (3, 4), [1, 1], "comes twice"),
        ((2, 0), (3, 4), [0], "at least one row and one column"),
        ((4,), (3, 4), [0], "(rows, columns), not (4,)"),
        ((2, 2), (3, 4), ["a"], "flat indices"),
    ],
)
def test_headers_that_do_not_fit(scan, frame, positions, says):
    with pytest.raises(FrameFormatError) as raised:
        FramesHeader(scan, frame, positions)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("array", "counts", "says"),
    [
        (np.zeros((3, 3, 4)), None, "(2, 3, 4)"),
        (np.zeros((2, 3, 4), complex), None, "not complex128"),
        (np.array([1, 2]), np.array([1]), "one count each"),
        (np.array([1, 2]), np.array([1, 2]), "add up to 3 events, 2 are there"),
        (np.array([1.0, 2.0]), np.array([1, 1]), "are integers"),
        (np.array([1, 12]), np.array([1, 1]), "outside a frame"),
        (np.array([1, -1]), np.array([1, 1]), "outside a frame"),
    ],
)
def test_arrays_that_do_not_fit_their_header(array, counts, says):
    with pytest.raises(FrameFormatError) as raised:
        BatchedFrames(FramesHeader((1, 2), (3, 4), [0, 1]), array, counts)
    assert says in str(raised.value)


def test_messages_that_are_no_frames():
    whole = frames().to_bytes_message()
    for message, says in [
        (BytesMessage(), "no kind"),
        (BytesMessage(MessageHeader(meta=b"raw")), "no kind"),
        (BytesMessage(MessageHeader(meta={"kind": "dense"})), "no scan_shape, frame_shape, positions"),
        (BytesMessage(whole.header, whole.data[:-2]), "46 bytes do not hold 2 dense frames"),
        (BytesMessage(MessageHeader(meta={**whole.meta, "dtype": "nonsense"}), whole.data), "nonsense"),
    ]:
        with pytest.raises(FrameFormatError) as raised:
            BatchedFrames.from_bytes_message(message)
        assert says in str(raised.value)


def test_cut_off_events_are_refused():
    message = events().to_bytes_message()
    for size in (4, len(message.data) - 2):
        with pytest.raises(FrameFormatError):
            BatchedFrames.from_bytes_message(BytesMessage(message.header, message.data[:size]))


def test_partial_results_travel_in_a_message():
    partial = COMPartial(FramesHeader((2, 2), (3, 4), [3, 0]), np.array([[1.0, np.nan], [2.0, 3.0]]))
    back = COMPartial.from_bytes_message(partial.to_bytes_message())
    assert back.header == partial.header
    np.testing.assert_array_equal(back.array, partial.array)


def test_partial_results_that_do_not_fit():
    header = FramesHeader((2, 2), (3, 4), [3, 0])
    with pytest.raises(FrameFormatError, match="shape"):
        COMPartial(header, np.zeros((2, 3)))
    message = COMPartial(header, np.zeros((2, 2))).to_bytes_message()
    with pytest.raises(FrameFormatError, match="24 bytes"):
        COMPartial.from_bytes_message(BytesMessage(message.header, message.data[:24]))
    with pytest.raises(FrameFormatError, match="does not hold centres"):
        COMPartial.from_bytes_message(frames().to_bytes_message())

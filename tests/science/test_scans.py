import numpy as np
import pytest

from distiller_streaming import ScanFileError, scans
from distiller_streaming.scans import open_scan


def saved(path, array):
    np.save(path, array)
    return path


def counts(*shape, dtype=np.uint16):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.fixture
def hspy(tmp_path):
    """Writes an array as a HyperSpy file and returns its path."""
    writer = pytest.importorskip("rsciio.hspy").file_writer

    def write(data, scan_axes=2, chunks=None):
        axes = [
            {"name": f"a{i}", "size": size, "scale": 1.0, "offset": 0.0, "units": "", "navigate": i < scan_axes}
            for i, size in enumerate(data.shape)
        ]
        path = tmp_path / "scan.hspy"
        signal = {
            "data": data,
            "axes": axes,
            "metadata": {"General": {"title": ""}, "Signal": {}},
            "original_metadata": {},
        }
        signal |= {"attributes": {"_lazy": False, "ragged": False}, "learning_results": {}, "models": {}}
        signal |= {"package_info": {}, "tmp_parameters": {}}
        writer(str(path), signal, chunks=chunks)
        return path

    return write


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_numpy_file_with_four_axes(tmp_path, order):
    data = counts(3, 4, 5, 6)
    scan = open_scan(saved(tmp_path / "scan.npy", np.asarray(data, order=order)))
    assert (scan.scan_shape, scan.frame_shape, scan.frame_bytes) == ((3, 4), (5, 6), 60)
    np.testing.assert_array_equal(scan.read(range(2, 11)), data.reshape(12, 5, 6)[2:11])


def test_a_stack_is_one_row_or_as_many_as_asked_for(tmp_path):
    path = saved(tmp_path / "stack.npy", counts(6, 2, 3))
    assert open_scan(path).scan_shape == (1, 6)
    scan = open_scan(path, scan_rows=2)
    assert scan.scan_shape == (2, 3)
    np.testing.assert_array_equal(scan.read(range(6)), counts(6, 2, 3))
    with pytest.raises(ScanFileError, match="6 frames do not make 4 scan rows"):
        open_scan(path, scan_rows=4)


def test_other_byte_orders_become_native(tmp_path):
    frames = open_scan(saved(tmp_path / "scan.npy", counts(2, 2, 3, 3, dtype=">u2"))).read(range(4))
    assert frames.dtype.isnative
    np.testing.assert_array_equal(frames, counts(4, 3, 3))


def test_a_link_without_a_suffix_is_followed(tmp_path):
    (tmp_path / "file").symlink_to(saved(tmp_path / "scan.npy", counts(2, 2, 3, 3)))
    assert open_scan(tmp_path / "file").scan_shape == (2, 2)


@pytest.mark.parametrize("fit", [1, 2, 3, 4, 5, 8, 100])
def test_pieces_of_any_size_give_the_same_frames(tmp_path, monkeypatch, fit):
    data = counts(5, 4, 3, 2)
    monkeypatch.setattr(scans, "PIECE_BYTES", fit * 12)
    scan = open_scan(saved(tmp_path / "scan.npy", data))
    flat = data.reshape(20, 3, 2)
    for size in (1, 3, 7, 20):
        for start in range(20):
            stop = min(start + size, 20)
            np.testing.assert_array_equal(scan.read(range(start, stop)), flat[start:stop])


def test_no_more_than_a_piece_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(scans, "PIECE_BYTES", 4 * 12)
    scan = open_scan(saved(tmp_path / "scan.npy", counts(3, 10, 3, 2)))
    read = []
    fetch = scans.Scan._fetch
    monkeypatch.setattr(scans.Scan, "_fetch", lambda self, piece: read.append(piece) or fetch(self, piece))
    for start in range(0, 30, 2):
        scan.read(range(start, start + 2))
    assert max(map(len, read)) == 4
    assert [position for piece in read for position in piece] == list(range(30))  # each frame once


@pytest.mark.parametrize("chunks", [None, (2, 2, 5, 3)])
def test_a_hyperspy_file(hspy, chunks):
    data = counts(4, 3, 5, 6)
    scan = open_scan(hspy(data, chunks=chunks))
    assert (scan.scan_shape, scan.frame_shape) == ((4, 3), (5, 6))
    np.testing.assert_array_equal(scan.read(range(1, 11)), data.reshape(12, 5, 6)[1:11])


def test_spectra_are_no_frames(hspy):
    with pytest.raises(ScanFileError, match="they have 1 signal axes"):
        open_scan(hspy(counts(4, 3, 5)))


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (counts(4, 4), "four axes"),
        (counts(2, 2, 2, 2, 2), "four axes"),
        (np.zeros((0, 4, 4)), "holds no frames"),
        (np.zeros((2, 4, 4), complex), "type complex128"),
        (np.array([[["a"]]]), "type <U1"),
    ],
)
def test_arrays_that_are_no_scan(tmp_path, array, says):
    with pytest.raises(ScanFileError, match=says) as raised:
        open_scan(saved(tmp_path / "scan.npy", array))
    assert str(raised.value).startswith(str(tmp_path))


# some of RosettaSciIO's readers leave a file open when they stumble over it
@pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")
def test_files_that_are_missing_unknown_or_damaged(tmp_path):
    with pytest.raises(ScanFileError, match="there is no such file"):
        open_scan(tmp_path / "scan.mib")
    (tmp_path / "scan.docx").touch()
    with pytest.raises(ScanFileError, match=r"no reader knows files that end in '\.docx'"):
        open_scan(tmp_path / "scan.docx")
    for name in ("scan.npy", "scan.mib", "scan.blo", "scan.hspy", "scan.mrc", "scan.emd"):
        (tmp_path / name).write_bytes(b"\x93NUMPY this is not what its name says" * 20)
        with pytest.raises(ScanFileError, match=f"{name}: (is not an|cannot be read: it is damaged)"):
            open_scan(tmp_path / name)


def test_a_cut_off_numpy_file(tmp_path):
    path = saved(tmp_path / "scan.npy", counts(2, 2, 8, 8))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ScanFileError, match=r"is not an \.npy file that we can read"):
        open_scan(path)


def test_a_numpy_file_of_objects_is_never_unpickled(tmp_path):
    path = tmp_path / "scan.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ScanFileError, match=r"is not an \.npy file"):
        open_scan(path)

"""Scans that real detectors recorded."""

import shutil

import numpy as np
import pytest

from distiller_streaming import BatchedFrames, FramesHeader, ScanFileError, com_sparse
from distiller_streaming.scans import open_scan
from interactem.runtime import Context

MERLIN_ROWS = [[128.805, 128.262, 127.761, 127.432], [129.146, 128.790, 128.069, 127.780]]
MERLIN_COLUMNS = [[41.851, 42.130, 42.311, 42.488], [42.158, 42.475, 42.554, 42.816]]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def centers(path):
    scan = open_scan(path)
    every = range(scan.scan_shape[0] * scan.scan_shape[1])
    batch = BatchedFrames(FramesHeader(scan.scan_shape, scan.frame_shape, every), scan.read(every))
    return com_sparse(batch, replace_nans=False).reshape(2, *scan.scan_shape)


def test_merlin(recorded):
    found = centers(recorded("merlin_4x2_6bit.mib"))
    assert found.shape == (2, 2, 4)
    np.testing.assert_allclose(found, [MERLIN_ROWS, MERLIN_COLUMNS], atol=0.0005)


def test_blockfile(recorded):
    scan = open_scan(recorded("precession_3x2.blo"))
    assert (scan.scan_shape, scan.frame_shape) == ((3, 2), (144, 144))
    frames = scan.read(range(6))
    assert frames.dtype == np.uint8
    assert frames.sum(axis=(1, 2)).min() > 0


def test_merlin_without_its_hdr(recorded, tmp_path):
    shutil.copyfile(recorded("merlin_4x2_6bit.mib"), tmp_path / "scan.mib")
    found = centers(tmp_path / "scan.mib")
    np.testing.assert_allclose(found.reshape(2, -1)[0], np.ravel(MERLIN_ROWS), atol=0.0005)


def test_an_interrupted_acquisition_is_read_and_remarked_on(recorded, tmp_path):
    whole = recorded("merlin_4x2_6bit.mib")
    shutil.copyfile(whole.with_suffix(".hdr"), tmp_path / "scan.hdr")
    (tmp_path / "scan.mib").write_bytes(whole.read_bytes()[: 5 * (384 + 256 * 256) + 100])
    scan = open_scan(tmp_path / "scan.mib")
    assert scan.scan_shape == (1, 4)
    assert "4 of 8 frames are in whole scan rows" in scan.remark


def test_a_merlin_file_cut_off_in_its_first_frame(recorded, tmp_path):
    (tmp_path / "scan.mib").write_bytes(recorded("merlin_4x2_6bit.mib").read_bytes()[:1000])
    with pytest.raises(ScanFileError, match="holds no frames"):
        open_scan(tmp_path / "scan.mib")


def test_a_blockfile_cut_off(recorded, tmp_path):
    (tmp_path / "scan.blo").write_bytes(recorded("precession_3x2.blo").read_bytes()[:60_000])
    with pytest.raises(ScanFileError):
        open_scan(tmp_path / "scan.blo").read(range(6))


def test_frame_reader_sends_the_recorded_frames(recorded, run_module, tmp_path, monkeypatch):
    (tmp_path / "file").symlink_to(recorded("merlin_4x2_6bit.mib"))
    monkeypatch.setenv("INTERACTEM_DATA_DIRECTORY", str(tmp_path))
    read = run_module("frame-reader").read
    messages = list(read({"frames_per_message": 3}, Context("frames")))
    batches = [BatchedFrames.from_bytes_message(message) for message in messages]
    assert [len(batch) for batch in batches] == [3, 3, 2]
    found = np.concatenate([com_sparse(batch) for batch in batches], axis=1).reshape(2, 2, 4)
    np.testing.assert_allclose(found, [MERLIN_ROWS, MERLIN_COLUMNS], atol=0.0005)

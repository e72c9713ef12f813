import os

import pytest

from distiller_streaming import SettingError
from distiller_streaming.outputs import is_newer, note_revision, output_path, replace_file


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "maps" / "com.npy"
    replace_file(path, b"old")
    replace_file(path, memoryview(b"new"))
    assert path.read_bytes() == b"new"
    assert [found.name for found in path.parent.iterdir()] == ["com.npy"]


def test_a_failure_before_the_end_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "com.npy"
    replace_file(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["/etc/com.npy", "../com.npy", "a/../../com.npy", "", ".", "..", "a\0.npy"])
def test_names_that_leave_the_outputs(tmp_path, name):
    with pytest.raises(SettingError, match="inside the run's outputs/"):
        output_path(tmp_path, name, (".npy",))


def test_names_with_another_suffix(tmp_path):
    with pytest.raises(SettingError, match=r"ends in \.npy, not '\.png'"):
        output_path(tmp_path, "com.png", (".npy",))
    assert output_path(tmp_path, "maps/COM.NPY", (".npy",)) == tmp_path / "maps" / "COM.NPY"


def test_only_newer_revisions_are_written():
    state = {}
    assert is_newer(state, "a.npy", {"revision": 0})
    note_revision(state, "a.npy", {"revision": 4})
    assert [is_newer(state, "a.npy", {"revision": r}) for r in (3, 4, 5)] == [False, False, True]
    assert is_newer(state, "b.npy", {"revision": 1})
    assert is_newer(state, "a.npy", {})

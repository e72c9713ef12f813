from __future__ import annotations

import numpy as np

from interactem.runtime import BytesMessage
from interactem.runtime.comparison import array_differences, data_differences, meta_differences


def test_a_meta_is_compared_by_the_expected_keys():
    got = {"scan": 3, "where": {"row": 1, "column": 2}, "more": None, "shape": [1, 2]}
    assert meta_differences({"scan": 3, "where": {"row": 1}, "shape": [1, 2]}, got) == []
    assert meta_differences({"scan": 4, "where": {"row": 2}, "absent": 1}, got) == [
        "meta.scan: expected 4, got 3",
        "meta.where.row: expected 2, got 1",
        "meta.absent: expected 1, and there is no such key (there are: scan, where, more, shape)",
    ]
    assert meta_differences({"scan": True}, {"scan": 1}) == ["meta.scan: expected True, got 1"]
    assert meta_differences({"scan": 1}, b"raw") == ["meta: expected an object with scan, got b'raw'"]


def test_text_is_compared_by_lines_and_bytes_by_place():
    assert data_differences(b"a\nb\n", b"a\nb\n") == []
    assert data_differences(b"a\nb\nc", memoryview(b"a\nx\nc")) == [
        "data differs (- expected, + got):",
        "@@ -1,3 +1,3 @@",
        " a",
        "-b",
        "+x",
        " c",
    ]
    assert data_differences(b"a\n", b"a") == ["data differs (- expected, + got):", "- 'a\\n'", "+ 'a'"]
    assert data_differences(b"\xff\x00\x01", b"\xff\x00\x02\x03") == [
        "data: expected 3 bytes, got 4; they differ from byte 2 on"
    ]
    assert data_differences(b"\xff", b"\xff\xfe") == ["data: expected 1 bytes, got 2; they differ from byte 1 on"]


def test_arrays_within_the_tolerance_are_equal():
    nan = float("nan")
    expected = np.array([1.0, nan, np.inf])
    assert array_differences(expected, np.array([1.0, nan, np.inf]), 0) == []
    assert array_differences(expected, np.array([1.05, nan, np.inf]), 0.1) == []
    assert array_differences(expected, np.array([1.5, nan, -np.inf]), 0.1) == [
        "array: 2 of 3 values differ by more than 0.1; first at (0,): expected 1.0, got 1.5",
        "  expected [ 1., nan, inf]",
        "  got      [ 1.5,  nan, -inf]",
    ]
    assert array_differences(np.array(2.0), np.array(3.0), 1) == []
    assert "first at (): expected 2.0, got 3.0" in array_differences(np.array(2.0), np.array(3.0), 0)[0]
    assert array_differences(np.array([0], "u1"), np.array([255], "u1"), 2) != []


def test_shape_and_dtype_come_first():
    assert array_differences(np.zeros(2), np.zeros(3), 0) == ["array: expected shape (2,), got (3,)"]
    assert array_differences(np.zeros(2), np.zeros(2, int), 0) == ["array: expected dtype float64, got int64"]
    assert array_differences(np.zeros(2), np.zeros(2, int), 0, any_dtype=True) == []
    assert array_differences(np.array(["a"]), np.array(["b"]), 0)[0].endswith("expected 'a', got 'b'")
    assert array_differences(np.zeros(2), BytesMessage(data=b"x"), 0)[0].startswith("data: expected an array; ")

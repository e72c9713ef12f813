"""What an operator publishes is a whole file, the latest under its name, and bounded."""

from __future__ import annotations

import csv
import struct
import zlib

import numpy as np
import pytest

from interactem.runtime import Context
from interactem.runtime.publishing import png, table


def read_png(content):
    """The array in a PNG whose lines have no filters."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    columns, rows, depth, color, *_ = struct.unpack(">IIBBBBB", content[16:29])
    start = content.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", content[start - 8 : start - 4])
    channels = {0: 1, 2: 3, 6: 4}[color]
    lines = np.frombuffer(zlib.decompress(content[start : start + length]), np.uint8).reshape(rows, -1)
    assert not lines[:, 0].any()
    found = np.frombuffer(lines[:, 1:].tobytes(), f">u{depth // 8}").reshape(rows, columns, channels)
    return found[:, :, 0] if channels == 1 else found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2"])
@pytest.mark.parametrize("shape", [(3, 5), (4, 2, 3), (1, 1, 4)])
def test_values_that_fit_stay(dtype, shape):
    array = (np.arange(np.prod(shape)) * 7 % 251).astype(dtype).reshape(shape)
    assert (read_png(png(array)) == array).all()


def test_other_numbers_are_scaled():
    assert read_png(png([[-1.0, 0.0], [1.0, np.nan]])).tolist() == [[0, 128], [255, 0]]
    assert read_png(png([[True, False]])).tolist() == [[255, 0]]
    assert read_png(png(np.full((2, 2), 7))).tolist() == [[0, 0], [0, 0]]
    assert read_png(png([[np.inf, 1.0, 3.0]])).tolist() == [[0, 0, 255]]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(3), r"not \(3,\)"),
        (np.zeros((0, 3)), r"not \(0, 3\)"),
        (np.zeros((2, 2, 2)), "3 or 4"),
        (np.array([["a"]]), "an array of numbers"),
        (np.broadcast_to(np.uint8(0), (2**13, 2**12)), "at most 16,777,216 pixels"),
    ],
)
def test_what_is_no_image_is_refused(array, said):
    with pytest.raises((TypeError, ValueError), match=said):
        png(array)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ([["a", 1], ["b", 2]], ["name", "n"]),
        ([{"name": "a", "n": 1}, {"n": 2, "name": "b"}], None),
        ([{"name": "a", "n": 1, "more": 0}, {"n": 2, "name": "b"}], ["name", "n"]),
        ({"name": ["a", "b"], "n": np.array([1, 2])}, None),
    ],
)
def test_tables_in_every_form(rows, columns):
    read = list(csv.reader(table(rows, columns).decode().splitlines()))
    assert read == [["name", "n"], ["a", "1"], ["b", "2"]]


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ([[1]], None, "say how the columns"),
        ([[1, 2]], ["a"], "each of the 1 columns"),
        ({"a": [1], "b": [1, 2]}, None, "one length"),
        ({"a": range(100_001)}, None, "at most 100,000"),
        ({"a": ["x" * 2**24]}, None, "bytes: at most"),
    ],
)
def test_what_is_no_table_is_refused(rows, columns, said):
    with pytest.raises((TypeError, ValueError), match=said):
        table(rows, columns)


def test_the_latest_takes_the_place_of_the_one_before(tmp_path):
    context = Context("camera", 1, outputs=tmp_path)
    first = context.publish_image("frame", np.zeros((2, 2), np.uint8))
    assert context.publish_image("frame", np.ones((2, 2), np.uint8)) == first
    assert first == tmp_path / "published" / "camera.1" / "frame.png"
    assert read_png(first.read_bytes()).tolist() == [[1, 1], [1, 1]]
    assert context.publish_table("numbers", {"n": [1]}).read_text() == "n\n1\n"
    assert sorted(path.name for path in first.parent.iterdir()) == ["frame.png", "numbers.csv"]


def test_names_are_few_and_stay_in_their_folder(tmp_path):
    context = Context("camera", outputs=tmp_path)
    for name in ("../x", "", "a/b", ".hidden", "x" * 64):
        with pytest.raises(ValueError, match="is no name to publish under"):
            context.publish_table(name, {"n": [1]})
    for number in range(64):
        context.publish_table(f"t{number}", {"n": [1]})
    with pytest.raises(ValueError, match="at most 64"):
        context.publish_table("one-more", {"n": [1]})
    context.publish_table("t0", {"n": [2]})

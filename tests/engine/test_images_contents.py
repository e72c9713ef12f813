from __future__ import annotations

import os

import pytest

from interactem.engine.images.fingerprints import hash_contents, hash_values
from interactem.engine.images.ignores import Ignores, contents


@pytest.mark.parametrize(
    ("patterns", "ignored", "kept"),
    [
        (["*.npy"], ["a.npy"], ["sub/a.npy", "a.npy.txt"]),
        (["**/*.npy"], ["a.npy", "sub/deep/a.npy"], ["a.py"]),
        (["tests"], ["tests", "tests/case.json", "tests/deep/case.json"], ["tests.json", "sub/tests"]),
        (["/tests/"], ["tests/case.json"], ["mytests/case.json"]),
        (["sub/*/x"], ["sub/a/x"], ["sub/a/b/x", "sub/x"]),
        (["a?.py"], ["ab.py"], ["a.py", "a/.py"]),
        (["[ab].py"], ["a.py"], ["c.py"]),
        (["[^ab].py"], ["c.py"], ["a.py"]),
        (["*", "!run.py"], ["other.py"], ["run.py"]),
        (["docs", "!docs/kept.md"], ["docs/a.md"], ["docs/kept.md"]),
        (["!a.py", "a.py"], ["a.py"], []),
        (["# a comment", "", "  a.py  "], ["a.py"], ["# a comment"]),
        (["."], [], ["a.py"]),
        (["a.b"], ["a.b"], ["axb"]),
    ],
)
def test_patterns(patterns, ignored, kept):
    ignores = Ignores.of(patterns)
    assert [path for path in ignored if not ignores.ignore(path)] == []
    assert [path for path in kept if ignores.ignore(path)] == []


def test_what_tools_leave_behind_stays_out_unless_it_is_taken_back(tmp_path):
    (tmp_path / "sub" / "__pycache__").mkdir(parents=True)
    (tmp_path / "sub" / "__pycache__" / "a.pyc").touch()
    (tmp_path / "run.py").touch()
    assert [name for name, _ in contents(tmp_path, Ignores.read(tmp_path))] == ["run.py"]
    (tmp_path / ".dockerignore").write_text("!**/__pycache__\n!**/*.pyc\n")
    found = [name for name, _ in contents(tmp_path, Ignores.read(tmp_path))]
    assert found == [".dockerignore", "run.py", "sub/__pycache__/a.pyc"]


def test_podmans_own_ignore_file_counts_first(tmp_path):
    (tmp_path / ".dockerignore").write_text("a\n")
    (tmp_path / ".containerignore").write_text("b\n")
    ignores = Ignores.read(tmp_path)
    assert ignores.ignore("b") and not ignores.ignore("a")


def fill(folder):
    (folder / "sub").mkdir(parents=True)
    (folder / "run.py").write_text("1")
    (folder / "sub" / "data").write_bytes(b"2")
    (folder / "link").symlink_to("run.py")
    return folder


def test_the_hash_is_of_contents_alone(tmp_path):
    one, other = fill(tmp_path / "one"), fill(tmp_path / "other")
    os.utime(one / "run.py", (0, 0))
    (one / "__pycache__").mkdir()
    (one / "__pycache__" / "run.pyc").touch()
    assert hash_contents(one, Ignores.read(one)) == hash_contents(other, Ignores.read(other))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "run.py").write_text("2"),
        lambda folder: (folder / "run.py").rename(folder / "run2.py"),
        lambda folder: (folder / "run.py").chmod(0o755),
        lambda folder: (folder / "sub" / "data").unlink(),
        lambda folder: (folder / "sub" / "new").touch(),
        lambda folder: [(folder / "link").unlink(), (folder / "link").symlink_to("sub")],
    ],
)
def test_every_change_changes_the_hash(tmp_path, change):
    folder = fill(tmp_path / "one")
    before = hash_contents(folder, Ignores.read(folder))
    change(folder)
    assert hash_contents(folder, Ignores.read(folder)) != before


def test_an_ignored_change_does_not(tmp_path):
    folder = fill(tmp_path / "one")
    (folder / ".dockerignore").write_text("sub\n")
    before = hash_contents(folder, Ignores.read(folder))
    (folder / "sub" / "data").write_bytes(b"3")
    assert hash_contents(folder, Ignores.read(folder)) == before


def test_values_do_not_run_into_each_other():
    assert hash_values("ab", "c") != hash_values("a", "bc")
    assert hash_values({"a": "1", "b": "2"}) == hash_values({"b": "2", "a": "1"}) != hash_values({"a": "2", "b": "1"})

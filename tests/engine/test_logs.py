from __future__ import annotations

import os

import pytest

from interactem.engine.logs import ReplicaLog, last_lines


@pytest.fixture
def log(tmp_path):
    made = ReplicaLog(tmp_path / "a.0.log")
    yield made
    made.close()


def test_lines_are_appended(log, tmp_path):
    log(b"one")
    log(b"")
    again = ReplicaLog(tmp_path / "a.0.log")
    again(b"two")
    again.close()
    assert (tmp_path / "a.0.log").read_bytes() == b"one\n\ntwo\n"


def test_lines_that_a_full_disk_refuses_are_counted(log, tmp_path, monkeypatch):
    log(b"before")
    write = os.write

    def refuse(file, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    log(b"lost")
    log(b"lost too")
    monkeypatch.setattr(os, "write", lambda file, content: write(file, content[:3]))
    log(b"half of it")
    monkeypatch.undo()
    assert log.lost == 3
    log(b"after")
    log(b"and on")
    assert (tmp_path / "a.0.log").read_text().splitlines() == [
        "before",
        "(3 lines were lost: the disk was full)",
        "after",
        "and on",
    ]


def test_the_last_lines(log, tmp_path):
    for number in range(50):
        log(b"%d" % number)
    assert last_lines(tmp_path / "a.0.log", 3) == ["47", "48", "49"]
    assert last_lines(tmp_path / "none.log") == []

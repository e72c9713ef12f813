from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from interactem.engine.errors import RunFolderError
from interactem.engine.folders import EventLog, RunFolder, new_run_id, read_events

NOON = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)


def test_a_run_id_sorts_by_time_and_is_safe_in_names():
    run_id = new_run_id(lambda: NOON)
    assert re.fullmatch(r"20260131-120000-[a-z2-7]{4}", run_id)
    assert len({new_run_id(lambda: NOON) for _ in range(50)}) > 45


def test_a_new_folder_has_its_parts(tmp_path):
    folder = RunFolder.create(tmp_path / "runs" / "one")
    assert folder.outputs.is_dir()
    assert folder.logs.is_dir()
    assert folder.broker.is_dir()
    assert folder.log("frames", 2) == folder.path / "logs" / "frames.2.log"


def test_a_folder_with_other_things_in_it_can_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert RunFolder.create(tmp_path).outputs.is_dir()


def test_a_folder_holds_one_run(tmp_path):
    RunFolder.create(tmp_path)
    with pytest.raises(RunFolderError, match="there is a run in this folder already; resume it"):
        RunFolder.create(tmp_path)


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunFolderError, match="in the way"):
        RunFolder.create(tmp_path / "runs")
    with pytest.raises(RunFolderError, match="cannot be made"):
        RunFolder.create(tmp_path / "runs" / "one")


def test_plan_and_summary_come_back(tmp_path):
    folder = RunFolder.create(tmp_path)
    assert folder.read_summary() is None
    folder.write_plan({"run": "r", "folder": tmp_path})
    folder.write_summary({"state": "completed"})
    again = RunFolder.open(tmp_path)
    assert again.read_plan() == {"version": 1, "run": "r", "folder": str(tmp_path)}
    assert again.read_summary() == {"version": 1, "state": "completed"}
    assert not list(tmp_path.glob(".*")), "no temporary file is left"


def test_opening_needs_a_run(tmp_path):
    with pytest.raises(RunFolderError, match="holds no run"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}', ""])
def test_a_plan_that_we_cannot_read_is_said(tmp_path, text):
    folder = RunFolder.create(tmp_path)
    folder.plan.write_text(text)
    with pytest.raises(RunFolderError, match=r"plan\.json"):
        folder.read_plan()


def test_events_are_lines_of_json(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path, clock=lambda: NOON) as log:
        log.record("run", state="running")
        log.record("failure", operator="reduce", replica=1, error="a\nb", file=tmp_path)
        first, second = path.read_text().splitlines()  # each is there as soon as it is recorded
    assert json.loads(first) == {"version": 1, "time": "2026-01-31T12:00:00.250Z", "kind": "run", "state": "running"}
    assert json.loads(second)["operator"] == "reduce"
    assert [event["kind"] for event in read_events(path)] == ["run", "failure"]
    assert list(read_events(path))[1] | {"time": ""} == {
        "version": 1,
        "time": "",
        "kind": "failure",
        "operator": "reduce",
        "replica": 1,
        "error": "a\nb",
        "file": str(tmp_path),
    }


@pytest.mark.parametrize("torn", [b'{"kind": "ha', b"x" * 10_000])
def test_a_torn_last_line_is_left_out_and_then_replaced(tmp_path, torn):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.record("one")
    with path.open("ab") as file:
        file.write(torn)
    assert [event["kind"] for event in read_events(path)] == ["one"]
    with EventLog(path) as log:
        log.record("two")
    assert [event["kind"] for event in read_events(path)] == ["one", "two"]


def test_a_file_with_nothing_but_a_torn_line_starts_over(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"ki')
    with EventLog(path) as log:
        log.record("one")
    assert [event["kind"] for event in read_events(path)] == ["one"]


def test_a_broken_line_in_the_middle_is_said(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"kind": "one"}\nnonsense\n{"kind": "two"}\n')
    with pytest.raises(RunFolderError, match="line 2"):
        list(read_events(path))


def test_events_outlast_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    full = True
    real = __import__("os").write

    def write(file, data):
        if full:
            real(file, data[:5])  # what fits
            raise OSError(28, "No space left on device")
        return real(file, data)

    with EventLog(path) as log:
        monkeypatch.setattr("os.write", write)
        log.record("one")
        log.record("two")
        assert log.failure is not None
        assert log.failure.errno == 28
        assert path.read_bytes() == b""
        full = False
        log.record("three")
        assert log.failure is None
    assert [event["kind"] for event in read_events(path)] == ["one", "two", "three"]

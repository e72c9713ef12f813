"""What killed runs leave: `doctor` tells it and `doctor --clean` removes it; the shell completes ids of runs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace

import pytest

from interactem.cli import completion
from interactem.cli.main import run
from interactem.engine.environments import environments_folder
from interactem.engine.index import ProcessIdentity, RunIndex, RunRecord, secrets_folder


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    (tmp_path / "runtime").mkdir()
    monkeypatch.chdir(tmp_path)
    return RunIndex()


@pytest.fixture
def record(index, tmp_path):
    def make(name: str, *, alive: bool, folder: bool = True, state: str = "running") -> RunRecord:
        supervisor = ProcessIdentity.of(os.getpid())
        place = tmp_path / "runs" / name
        if folder:
            place.mkdir(parents=True)
        made = RunRecord(
            run=name,
            name="center-of-mass",
            folder=place,
            supervisor=supervisor if alive else replace(supervisor, started="0"),
            url="nats://127.0.0.1:1",
            credentials=None,
            started=f"2026-01-01T00:00:0{len(index.runs())}Z",
            state=state,
        )
        index.register(made)
        (secrets_folder(name) / "broker.json").touch()
        return made

    return make


def test_killed_runs_are_told_with_how_to_go_on(record, capsys):
    record("20260101-000000-aaaa", alive=True)
    record("20260101-000001-bbbb", alive=False)
    assert run(["doctor", "--json"]) == 0
    findings = {finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["killed runs"]["found"] == "20260101-000001-bbbb"
    assert "interactem pipeline resume 20260101-000001-bbbb" in findings["killed runs"]["fix"]


def test_clean_removes_what_no_run_needs(record, index, capsys):
    record("20260101-000000-aaaa", alive=True)
    record("20260101-000001-bbbb", alive=False, folder=False)
    environment = environments_folder() / "old"
    environment.mkdir(parents=True)
    (environment / "complete.json").touch()
    long_ago = time.time() - 31 * 24 * 3600
    os.utime(environment / "complete.json", (long_ago, long_ago))

    assert run(["doctor", "--clean", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    removed = {"secrets": ["20260101-000001-bbbb"], "environments": ["old"]}
    here = {name: document["removed"][name] for name in ("containers", "shared_memory")}
    assert document["removed"] == removed | here
    assert [each.run for each in index.runs()] == ["20260101-000000-aaaa"]
    assert not environment.exists()

    assert run(["doctor", "--clean"]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_ids_of_runs_are_completed(record):
    assert completion.run_ids("") == []
    record("20260101-000000-aaaa", alive=True)
    record("20260102-000000-bbbb", alive=False, state="completed")
    assert completion.run_ids("20260102") == [("20260102-000000-bbbb", "center-of-mass, completed")]
    assert [name for name, _ in completion.run_ids("")] == ["20260102-000000-bbbb", "20260101-000000-aaaa", "last"]
    assert completion.run_ids("l") == [("last", "the newest")]

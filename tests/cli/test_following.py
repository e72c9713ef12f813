from __future__ import annotations

import json

import pytest

from interactem.cli.failures import InvalidError
from interactem.cli.following import find_run, print_logs, state_of
from interactem.engine.errors import UnknownRunError


@pytest.fixture(autouse=True)
def own_index(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "run"
    (made / "logs").mkdir(parents=True)
    plan = {"version": 1, "run": "20260101-000000-abcd", "name": "test"}
    (made / "plan.json").write_text(json.dumps(plan))
    return made


def test_a_run_that_the_index_does_not_know_is_found_by_its_folder(folder):
    record = find_run(str(folder))
    assert (record.run, record.name, record.folder) == ("20260101-000000-abcd", "test", folder)
    assert not record.alive
    assert state_of(record) == "interrupted"
    (folder / "summary.json").write_text(json.dumps({"version": 1, "state": "completed"}))
    assert state_of(find_run(str(folder))) == "completed"


@pytest.mark.parametrize("given", ["nothing", "last", "."])
def test_runs_that_there_are_not(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownRunError):
        find_run(given)


def test_logs_are_printed_behind_the_names_of_replicas(folder, capsys):
    (folder / "logs" / "a-b.0.log").write_bytes(b"one\ntwo\nhalf of a li")
    (folder / "logs" / "a-b.1.log").write_bytes(b"three\n\xff\n")
    (folder / "logs" / "c.0.log").write_bytes(b"")
    record = find_run(str(folder))
    print_logs(record, (), follow=False, lines=None, as_json=False)
    assert capsys.readouterr().out.splitlines() == ["a-b.0 | one", "a-b.0 | two", "a-b.1 | three", "a-b.1 | \ufffd"]
    print_logs(record, ["a-b"], follow=False, lines=1, as_json=False)
    assert capsys.readouterr().out.splitlines() == ["a-b.0 | two", "a-b.1 | \ufffd"]
    print_logs(record, ["c"], follow=False, lines=None, as_json=False)
    print_logs(record, ["a-b"], follow=False, lines=0, as_json=False)
    assert capsys.readouterr().out == ""
    with pytest.raises(InvalidError, match="no logs of d; there are: a-b, c"):
        print_logs(record, ["d"], follow=False, lines=None, as_json=False)

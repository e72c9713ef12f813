from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from interactem.engine.errors import UnknownRunError
from interactem.engine.index import (
    KeeperRecord,
    ProcessIdentity,
    RunIndex,
    RunRecord,
    remove_secrets,
    secrets_folder,
    user_folder,
)


@pytest.fixture
def index(tmp_path):
    return RunIndex(tmp_path / "index")


def record(tmp_path, run: str, *, state: str = "running", started: str = "2026-01-31T12:00:00Z") -> RunRecord:
    folder = tmp_path / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    credentials = tmp_path / "secrets" / run / "broker.json"
    me = ProcessIdentity.of(os.getpid())
    return RunRecord(run, "mass", folder, me, "nats://127.0.0.1:1", credentials, started, state)


def ended_process() -> ProcessIdentity:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = ProcessIdentity.of(process.pid)
        assert identity.alive
    return identity


def test_a_record_comes_back_as_it_was(tmp_path, index):
    first = record(tmp_path, "20260131-120000-aaaa")
    without = replace(record(tmp_path, "20260131-120000-bbbb"), credentials=None)
    index.register(first)
    index.register(without)
    assert index.find(first.run) == first
    assert index.find(without.run) == without


def test_the_index_is_for_the_user_only(tmp_path, index):
    index.register(record(tmp_path, "r"))
    assert stat.S_IMODE(index.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((index.folder / "r.json").stat().st_mode) == 0o600


def test_the_newest_comes_first(tmp_path, index):
    for number in (2, 3, 1):
        index.register(record(tmp_path, f"run-{number}", started=f"2026-01-31T12:00:0{number}Z"))
    assert [each.run for each in index.runs()] == ["run-3", "run-2", "run-1"]
    assert index.find("last").run == "run-3"


def test_a_run_is_found_by_the_beginning_of_its_id_or_its_folder(tmp_path, index, monkeypatch):
    for run in ("20260131-120000-aaaa", "20260131-120000-abbb", "20260131-120000-a"):
        index.register(record(tmp_path, run))
    assert index.find("20260131-120000-aa").run == "20260131-120000-aaaa"
    assert index.find("20260131-120000-a").run == "20260131-120000-a", "an id that another begins with"
    monkeypatch.chdir(tmp_path)
    assert index.find("runs/20260131-120000-abbb").run == "20260131-120000-abbb"
    with pytest.raises(UnknownRunError, match="several runs: ") as caught:
        index.find("2026")
    assert len(caught.value.candidates) == 3


def test_what_is_not_there_is_said(tmp_path, index):
    with pytest.raises(UnknownRunError, match="nor any other"):
        index.find("last")
    index.register(record(tmp_path, "one"))
    with pytest.raises(UnknownRunError, match="there is no run 'two'; the newest: one"):
        index.find("two")
    with pytest.raises(UnknownRunError):
        index.update("two", state="failed")


def test_changes_and_removal(tmp_path, index):
    index.register(record(tmp_path, "one"))
    assert index.update("one", state="completed").state == "completed"
    assert index.update("one", url="nats://127.0.0.1:2").state == "completed"
    assert index.find("one").url == "nats://127.0.0.1:2"
    index.remove("one")
    index.remove("one")
    assert index.runs() == []


def test_a_run_is_alive_while_its_supervisor_is(tmp_path, index):
    mine = record(tmp_path, "one")
    assert mine.alive
    assert not mine.interrupted
    killed = replace(mine, supervisor=ended_process())
    assert not killed.alive
    assert killed.interrupted
    completed = replace(mine, state="completed")
    assert not completed.alive
    assert not completed.interrupted


def test_another_process_with_the_same_id_is_not_taken_for_it():
    me = ProcessIdentity.of(os.getpid())
    assert not replace(me, started="1").alive
    assert not replace(me, machine="before the reboot").alive


def test_a_process_that_ended_and_was_not_reaped_is_not_alive():
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = ProcessIdentity.of(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not identity.alive


def test_runs_whose_folder_is_gone_are_not_listed(tmp_path, index):
    gone = record(tmp_path, "gone")
    index.register(gone)
    gone.folder.rmdir()
    assert index.runs() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 9}', '{"version": 1, "run": "x"}'])
def test_what_is_no_record_of_ours_is_not_listed(tmp_path, index, text):
    index.register(record(tmp_path, "one"))
    (index.folder / "other.json").write_text(text)
    assert [each.run for each in index.runs()] == ["one"]


def test_cleaning_keeps_what_runs(tmp_path, index):
    secrets = tmp_path / "secrets"
    running, killed, gone = (record(tmp_path, run) for run in ("running", "killed", "gone"))
    dead = ended_process()
    index.register(running)
    index.register(replace(killed, supervisor=dead))
    index.register(replace(gone, supervisor=dead))
    for run in ("running", "killed", "gone"):
        (secrets / run).mkdir(parents=True)
    gone.folder.rmdir()
    assert index.clean(secrets) == ["gone", "killed"]
    assert [path.name for path in secrets.iterdir()] == ["running"]
    assert sorted(path.stem for path in index.folder.iterdir()) == ["killed", "running"]


def test_secrets_are_in_the_folder_that_the_system_empties(tmp_path):
    environment = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path / "home")}
    folder = secrets_folder("one", environment)
    assert folder == tmp_path / "interactem" / "one"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    (folder / "broker.json").write_text("{}")
    remove_secrets("one", environment)
    remove_secrets("one", environment)
    assert not folder.exists()


@pytest.mark.parametrize("given", [None, "", "/no/such/folder"])
def test_secrets_are_in_the_cache_where_there_is_no_such_folder(tmp_path, given):
    environment = {"HOME": str(tmp_path)} | ({} if given is None else {"XDG_RUNTIME_DIR": given})
    folder = user_folder(environment)
    assert folder == tmp_path / ".cache" / "interactem" / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_could_enter_is_closed(tmp_path):
    (tmp_path / "interactem").mkdir(mode=0o755)
    user_folder({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert stat.S_IMODE((tmp_path / "interactem").stat().st_mode) == 0o700


def test_a_detached_run_that_lost_its_supervisor_is_unattended_while_its_keeper_lives(tmp_path, index):
    keeper = KeeperRecord(ProcessIdentity.of(os.getpid()), tmp_path / "secrets" / "r" / "keeper.sock")
    lost = replace(record(tmp_path, "r"), supervisor=ended_process(), keeper=keeper)
    index.register(lost)
    found = index.find("r")
    assert found == lost
    assert (found.alive, found.unattended, found.interrupted) == (False, True, False)
    (tmp_path / "secrets" / "r").mkdir(parents=True)
    assert index.clean(tmp_path / "secrets") == []
    dead = replace(lost, keeper=replace(keeper, process=ended_process()))
    assert (dead.unattended, dead.interrupted) == (False, True)
    ended = replace(lost, state="completed")
    assert (ended.unattended, ended.interrupted) == (False, False)
    assert not replace(record(tmp_path, "r"), keeper=keeper).unattended, "it has its supervisor"

"""What is read of runs that were, and what is refused before one begins."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from interactem.engine import external_brokers, preparing
from interactem.engine.errors import RunFolderError
from interactem.engine.folders import FOLDER_TAKEN, RunFolder
from interactem.engine.plan import Plan, PlannedOperator
from interactem.engine.preparing import prepare, read_plan, reopen
from interactem.engine.results import RunResult, collect
from interactem.runtime.assignment import Assignment, Output
from interactem.spec import Graph, OperatorSpec, parse_pipeline

SOURCE = Assignment("run-1", 0, "source", outputs=(Output("out", 0, 1, (), ()),))
PLAN = Plan("run-1", "test", "power", (PlannedOperator("source", "reader", "/operators/reader", SOURCE),), {})
RESULT = RunResult(
    run="run-1",
    name="test",
    state="completed",
    seconds=1.5,
    folder="/runs/run-1",
    operators={"source": {"replicas": 1, "received": 0, "sent": 3, "retried": 0, "dead": 0, "restarts": 0}},
    outputs=["/runs/run-1/outputs/a.npy"],
)


@pytest.fixture
def folder(tmp_path):
    made = RunFolder.create(tmp_path / "run")
    made.write_plan(PLAN.to_value())
    return made


def test_a_result_is_read_as_it_was_written(folder):
    assert collect(folder.path) is None, "a run that has not ended"
    folder.write_summary(RESULT.to_value())
    assert collect(folder.path) == RESULT


def test_a_plan_is_read_wherever_it_lies(folder, tmp_path):
    elsewhere = tmp_path / "kept.json"
    elsewhere.write_bytes(folder.plan.read_bytes())
    assert read_plan(elsewhere) == PLAN


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such file; give the plan.json of an earlier run"),
        ("{", "cannot be read"),
        ("[]", "is not of version 1"),
        (json.dumps({"version": 2}), "is not of version 1"),
        (json.dumps({"version": 1, "run": "r"}), "is no plan of a run"),
        (json.dumps({"version": 1, **PLAN.to_value(), "operators": [{"key": "source"}]}), "is no plan of a run"),
    ],
)
def test_what_is_no_plan(tmp_path, text, words):
    file = tmp_path / "plan.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RunFolderError, match=words):
        read_plan(file)


def test_a_complete_run_is_not_gone_on_with(folder):
    folder.write_summary(RESULT.to_value())
    with pytest.raises(RunFolderError, match="the run run-1 is complete; start a new one"):
        asyncio.run(reopen(folder.path))


def test_a_folder_without_a_run(tmp_path):
    for ask in (collect, lambda path: asyncio.run(reopen(path))):
        with pytest.raises(RunFolderError, match=r"holds no run: it has no plan\.json"):
            ask(tmp_path)


def test_a_folder_that_has_a_run_is_not_touched(folder):
    about = dict.fromkeys(("image", "label", "description"), "x")
    spec = OperatorSpec.model_validate({"id": "00000000-0000-4000-8000-000000000001", **about})
    pipeline = parse_pipeline('{"name": "t", "operators": {"a": {"operator": "reader"}}, "edges": []}', "t.json")
    before = sorted(path.name for path in folder.path.rglob("*"))
    with pytest.raises(RunFolderError, match=FOLDER_TAKEN):
        asyncio.run(prepare(Graph(pipeline, {"reader": spec}), {"reader": folder.path}, run_dir=folder.path))
    assert sorted(path.name for path in folder.path.rglob("*")) == before


def test_mounts_are_found_again_from_another_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    operator = PlannedOperator("a", "a", "/", SOURCE, mounts={"here": "scan.mib", "home": "~/x", "there": "/data"})
    (found,) = preparing._with_absolute_mounts(Plan("r", "t", "power", (operator,), {})).operators
    assert found.mounts == {"here": str(tmp_path / "scan.mib"), "home": "/home/me/x", "there": "/data"}


@pytest.mark.parametrize(
    ("given", "url", "login"),
    [
        ("nats://host:4222", "nats://host:4222", None),
        ("host:4222", "nats://host:4222", None),
        ("tls://me:p%40ss@host:4222", "tls://host:4222", {"user": "me", "password": "p@ss"}),
        ("nats://me@host", "nats://host", {"user": "me", "password": ""}),
    ],
)
def test_a_password_in_an_address_goes_into_a_file(monkeypatch, tmp_path, given, url, login):
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(external_brokers, "secrets_folder", lambda run: tmp_path)
    address = external_brokers.address_of("run-1", given)
    assert address.url == url
    if login is None:
        assert address.credentials is None
    else:
        assert json.loads(Path(address.credentials).read_text()) == login
        assert stat.S_IMODE(address.credentials.stat().st_mode) == 0o600

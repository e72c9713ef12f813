"""Where connections are found, and what becomes of them before a run."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from interactem.engine.connections import (
    RunConnections,
    connections_of_graph,
    connections_of_plan,
    find_connections,
)
from interactem.engine.live import check_parameters
from interactem.engine.plan import Plan, make_plan
from interactem.runtime.secrets import Secrets
from interactem.spec import Graph, SpecError, parse_operator, parse_pipeline
from interactem.spec.connections import Connection

SPEC = {
    "id": "6a7d1a2c-5d0b-4f5e-9a30-0d1f7c3b2a10",
    "label": "Store",
    "description": "Stores",
    "image": "store",
    "parameters": [
        {"name": "db", "type": "connection", "default": "@db.main"},
        {"name": "level", "type": "int", "default": 1},
    ],
}


@pytest.fixture
def graph(tmp_path):
    """A pipeline of one operator, in a file."""

    def make(**parameters):
        file = tmp_path / "deep" / "pipeline.json"
        file.parent.mkdir(exist_ok=True)
        value = {"name": "p", "operators": {"a": {"operator": "store", "parameters": parameters}}}
        file.write_text(json.dumps(value, indent=1))
        pipeline = parse_pipeline(file.read_bytes(), str(file))
        return Graph(pipeline, {"store": parse_operator(SPEC, "operator.json")}, source=str(file)).check()

    return make


@pytest.fixture
def connections(tmp_path):
    def write(value, folder=tmp_path):
        file = folder / "connections.json"
        file.write_text(json.dumps(value))
        return file

    return write


def test_the_nearest_file_is_found(tmp_path, connections, monkeypatch):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_connections(below / "p.json") is None or not find_connections(below / "p.json").is_relative_to(tmp_path)
    above = connections({})
    assert find_connections(below / "p.json") == above
    beside = connections({}, below)
    assert find_connections(below / "p.json") == beside
    monkeypatch.chdir(below)
    assert find_connections(Path("p.json")) == beside


def test_values_come_from_the_environment_before_the_file_beside_it(graph, connections, tmp_path):
    file = connections({"db": {"main": {"a": "${A}", "b": "${B}"}}})
    (tmp_path / ".env").write_text("A=file\nB='file too'\n")
    found = connections_of_graph(graph(), file, {"A": "environment"})
    assert found.of["a"]["db"].values == {"a": "environment", "b": "file too"}
    assert found.file == str(file)


def test_nothing_is_read_for_a_pipeline_without_connections(graph, tmp_path):
    broken = tmp_path / "connections.json"
    broken.write_text("{")
    assert connections_of_graph(graph(db=None), broken, {}) == RunConnections()


def test_a_wrong_name_is_told_with_its_line_in_the_pipeline(graph, connections):
    file = connections({"db": {"main": {}}})
    with pytest.raises(SpecError) as caught:
        connections_of_graph(graph(level=2, db="@db.mian"), file, {})
    (problem,) = caught.value.problems
    assert problem.path == "line 8, $.operators.a.parameters.db"
    assert problem.hint == "did you mean 'main'?"


def test_a_broken_env_file_is_told(graph, connections, tmp_path):
    file = connections({"db": {"main": {"a": "${A}"}}})
    (tmp_path / ".env").write_text("A='x\n")
    with pytest.raises(SpecError, match=r"\.env: line 1: does not set a variable"):
        connections_of_graph(graph(), file, {})


def test_a_plan_has_the_name_and_not_the_values(graph, connections, tmp_path):
    file = connections({"db": {"main": {"password": "${A}"}}})
    made = graph(db="@db.main")
    plan = make_plan(made, "run", {"store": tmp_path}, max_payload=2**20, max_message=2**30)
    (operator,) = plan.operators
    assert operator.connections == {"db": "@db.main"}
    assert operator.parameters == {"level": 1}
    stored = json.loads(json.dumps({**plan.to_value(), "connections": str(file)}))
    again = Plan.from_value(stored)
    assert connections_of_plan(again, {"A": "hunter2"}).of["a"]["db"].values == {"password": "hunter2"}
    with pytest.raises(SpecError, match="the variable A is not set"):
        connections_of_plan(again, {})
    file.unlink()
    with pytest.raises(SpecError, match=r"names a connection, and there is no connections\.json"):
        connections_of_plan(again, {})


def test_replicas_get_files_that_nobody_else_reads(tmp_path):
    connection = Connection({"password": "hunter2", "port": 1}, ("hunter2",))
    laid = RunConnections({"a": {"db": connection}, "b": {"db": Connection({})}}).lay_down(tmp_path / "secrets")
    assert stat.S_IMODE(laid.files["a"].stat().st_mode) == 0o600
    assert stat.S_IMODE(laid.files["a"].parent.stat().st_mode) == 0o700
    secrets = Secrets.read(laid.files["a"])
    assert secrets.connections == {"db": {"password": "hunter2", "port": 1}}
    assert laid.mask("a").line(b"it is hunter2") == b"it is ***"
    assert laid.mask("b").line(b"it is hunter2") == b"it is hunter2"
    assert laid.mask("no such operator").line(b"it is hunter2") == b"it is hunter2"
    assert "hunter2" not in repr(laid)


def test_a_connection_cannot_change_while_a_run_goes_on(graph, tmp_path):
    plan = make_plan(graph(), "run", {"store": tmp_path}, max_payload=2**20, max_message=2**30)
    with pytest.raises(SpecError, match=r"a\.db: a connection cannot change while a run goes on"):
        check_parameters(plan, {"a": {"db": "@db.other"}})

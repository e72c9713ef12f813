"""The examples of docs/operators.md in pipelines: what each makes, in memory and on NATS alike."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from interactem.engine.testing.servers import Server
from interactem.runtime import BytesMessage, MessageHeader

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.broker)])
def run(request, pipeline):
    """Run a pipeline of examples: operators by name, with their parameters, and edges between them."""
    broker = request.getfixturevalue("server") if request.param == "nats" else None

    def run(operators, edges=(), **options):
        nodes = {name: {"operator": name, **more} for name, more in operators.items()}
        value = {"name": "example", "operators": nodes, "edges": [{"from": a, "to": b} for a, b in edges]}
        return pipeline(value, operators=EXAMPLES, broker=broker, **options)

    return run


@pytest.fixture
def made(run):
    """What one operator makes of messages, in the order in which it sends it."""

    def make(name, given=(), parameters=None, **options):
        options |= {"given": {f"{name}.in": given}} if given else {}
        result = run({name: {"parameters": parameters or {}}}, collect=[f"{name}.out"], **options)
        assert result.dead == []
        return result[f"{name}.out"]

    return make


def texts(*data):
    return [BytesMessage(data=one.encode()) for one in data]


def data(messages):
    return [bytes(message.data) for message in messages]


def test_map(made):
    given = texts('{"sensor": "a", "fahrenheit": 212}', '{"sensor": "b", "fahrenheit": null}')
    assert data(made("celsius", given, {"digits": 0})) == [b'{"sensor": "a", "celsius": 100.0}']


def test_stream(made):
    assert data(made("words", texts("one two", "three"))) == [b"one", b"two", b"three"]


def test_batch(made):
    given = [BytesMessage.from_array(np.array([2.0, 4.0, 8.0]) * n) for n in range(40)]
    assert [message.array.tolist() for message in made("scores", given)] == [[4.0 * n] for n in range(40)]


def test_batch_whose_items_fail_alone(run):
    given = {"column.in": texts('{"a": 5}', "?", "{}", '{"a": 6}')}
    result = run({"column": {"parameters": {"column": "a"}, "max_attempts": 1}}, given=given, collect=["column.out"])
    assert data(result["column.out"]) == [b"5", b"6"]
    errors = {bytes(letter.message.data): letter.error for letter in result.dead}
    assert errors.keys() == {b"?", b"{}"}
    assert "Expecting value" in errors[b"?"]
    assert "KeyError" in errors[b"{}"]


def test_staged(made):
    given = [b"%d" % n * 1000 for n in range(10)]
    packed = made("pack", [BytesMessage(data=one) for one in given])
    assert sorted(gzip.decompress(message.data) for message in packed) == given


def test_source(made):
    assert data(made("count", parameters={"count": 5})) == [b"0", b"1", b"2", b"3", b"4"]


def test_source_that_reads(made, tmp_path):
    with closing(sqlite3.connect(tmp_path / "tasks.sqlite")) as database:
        database.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, task TEXT)")
        database.executemany("INSERT INTO tasks (task) VALUES (?)", [("wash",), ("dry",), ("iron",)])
        database.commit()
        assert data(made("queue", parameters={"database": str(tmp_path / "tasks.sqlite")})) == [
            b"wash",
            b"dry",
            b"iron",
        ]
        assert database.execute("SELECT count(*) FROM tasks").fetchone() == (0,)


def test_source_transform_and_reduce(run, tmp_path):
    file = tmp_path / "readings.csv"
    rows = ["00:00:10Z,a,3", "00:00:20Z,a,", "00:00:30Z,b,4", "00:00:59Z,a,7.5", "00:01:00Z,a,1"]
    file.write_text("time,sensor,value\n" + "".join(f"1970-01-01T{row}\n" for row in rows))
    result = run(
        {"readings": {"parameters": {"file": str(file)}}, "peaks": {}},
        [("readings.out", "peaks.in")],
        collect=["readings.out", "peaks.out"],
    )
    assert [message.meta["time"] for message in result["readings.out"]] == [10, 30, 59, 60]
    assert data(result["peaks.out"]) == [b"a from 0: 7.5", b"b from 0: 4", b"a from 60: 1"]


def test_sink(run):
    given = {"keep.in": texts('{"name": "second", "after": "first"}', "?", '{"name": "first"}')}
    result = run({"keep": {}}, given=given, collect=["keep.rejected"])
    assert {path.name for path in result.outputs.iterdir()} == {"first.json", "second.json"}
    assert data(result["keep.rejected"]) == [b"?"]
    assert result.dead == []


def test_side_input(run, tmp_path):
    prices = tmp_path / "prices.csv"
    prices.write_text("item,price\npen,2.5\nink,4\n")
    result = run(
        {"prices": {"parameters": {"file": str(prices)}}, "invoice": {"side_inputs": {"prices": "prices"}}},
        given={"invoice.in": texts('["pen", "pen", "ink"]')},
        collect=["invoice.out"],
    )
    assert data(result["invoice.out"]) == [b"9.0"]


def test_class(made, tmp_path):
    with closing(sqlite3.connect(tmp_path / "stations.sqlite")) as database:
        database.execute("CREATE TABLE stations (id TEXT, name TEXT)")
        database.execute("INSERT INTO stations VALUES ('n1', 'North')")
        database.commit()
    given = [BytesMessage(MessageHeader(meta={"station": "n1"}), b"all well")]
    parameters = {"stations": str(tmp_path / "stations.sqlite")}
    assert data(made("station-names", given, parameters)) == [b"North: all well"]


def test_command(made):
    assert data(made("sorted", texts("b\na\nc\n"), {"reverse": True})) == [b"c\nb\na\n"]

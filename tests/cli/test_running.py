from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from interactem.cli import running
from interactem.cli.failures import InvalidError
from interactem.cli.progress import plain_lines, progress_table
from interactem.cli.running import Screen
from interactem.engine import RunResult
from interactem.engine.progress import OperatorProgress, ReplicaProgress
from interactem.engine.summaries import operator_numbers, row_of
from interactem.runtime.statistics import Statistics

NUMBERS = {"replicas": 1, "received": 5, "sent": 4, "retried": 1, "dead": 0, "restarts": 0}


def result(state="completed", **more):
    value = {
        "run": "20260101-000000-abcd",
        "name": "test",
        "state": state,
        "seconds": 1.25,
        "folder": "/runs/x",
        "operators": {"keep": NUMBERS},
        "outputs": ["/runs/x/outputs/a.npy"],
    }
    return RunResult(**{**value, **more})


@pytest.mark.parametrize(
    ("state", "dead", "allow_dead", "interrupted", "code"),
    [
        ("completed", 0, False, False, 0),
        ("completed", 3, False, False, 1),
        ("completed", 3, True, False, 0),
        ("completed", 0, False, True, 0),  # it was done before the interrupt came to anything
        ("stopped", 0, False, True, 130),
        ("stopped", 0, True, False, 1),  # its time was up
        ("failed", 0, True, False, 1),
        ("failed", 0, False, True, 1),
    ],
)
def test_exit_codes(state, dead, allow_dead, interrupted, code):
    screen = Screen(quiet=True)
    screen.interrupted = interrupted
    assert running.exit_code(result(state, dead=dead), screen, allow_dead) == code


@pytest.mark.parametrize("text", ["a", "a=", "a=x", "a=-1", "=", "a=1.5"])
def test_numbers_of_replicas_that_are_none(text):
    with pytest.raises(InvalidError, match="operator=N"):
        running._replicas(text)


def test_numbers_of_replicas():
    assert running._replicas("partial=12") == ("partial", 12)


def test_the_result_as_json_is_one_document(capsys):
    screen = Screen(quiet=True)
    screen.note("draining")
    screen.observe("running", [OperatorProgress("keep", 1)])
    screen.end(result())
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert {"run", "state", "seconds", "folder", "operators", "outputs"} <= document.keys()
    assert document["operators"] == {"keep": NUMBERS}
    assert "draining" in said.err


def test_the_result_for_people(capsys):
    Screen(quiet=False).end(result("failed", dead=2, reason="the disk is full"))
    said = capsys.readouterr()
    assert "failed in 1.2 s: the disk is full" in said.out
    assert "/runs/x/outputs/a.npy" in said.out
    assert "2 dead letters" in said.err
    assert "interactem pipeline resume 20260101-000000-abcd" in said.err


def test_a_completed_run_is_not_to_be_resumed(capsys):
    Screen(quiet=False).end(result())
    assert capsys.readouterr().err == ""


ROW = OperatorProgress("partial", 2, running=1, received=12_345, sent=12_000, rate=99.6, waiting=7, restarts=3)


def test_progress_in_plain_lines():
    (line,) = plain_lines("running", [ROW])
    assert line == "running partial: 1/2 replicas, received 12345, sent 12000, 100/s, waiting 7, retried 0, dead 0"


def test_plain_lines_are_printed_when_they_say_something_new(capsys, monkeypatch):
    monkeypatch.setattr(running, "PLAIN_SECONDS", 0.0)
    screen = Screen(quiet=False)
    still = OperatorProgress("keep", 1)
    for row in (ROW, ROW, OperatorProgress("partial", 2, received=20_000)):
        screen.observe("running", [row, still])
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in said] == ["partial:", "keep:", "partial:"]
    assert "received 20000" in said[-1]


def test_progress_as_a_table():
    target = Console(file=io.StringIO(), width=120)
    target.print(progress_table("running", [ROW, OperatorProgress("keep", 1, state="stopped")]))
    said = target.file.getvalue()
    assert [line.split() for line in said.splitlines()[1:]] == [
        ["partial", "1/2", "12,345", "12,000", "100/s", "7", "3"],
        ["keep", "done", "0", "0", "0/s", "0", "0"],
        ["running"],
    ]


def test_the_table_has_times_and_memory_and_of_trouble_what_there_is():
    row = OperatorProgress("mean", 1, running=1, received=5, p50=0.000_012, p99=1.5, memory=48_200_000)
    target = Console(file=io.StringIO(), width=120)
    target.print(progress_table("running", [row]))
    titles, cells, _ = target.file.getvalue().splitlines()
    assert titles.split() == ["operator", "replicas", "received", "sent", "rate", "waiting", "p50", "p99", "memory"]
    assert cells.split() == ["mean", "1/1", "5", "0", "0/s", "0", "12", "µs", "1.5", "s", "48", "MB"]
    (line,) = plain_lines("running", [row])
    assert line.endswith("dead 0, p50 12 µs, p99 1.5 s, memory 48 MB")


def test_late_messages_are_in_both_tables_where_there_are_any(capsys):
    statistics = Statistics(counters={"late_messages": 7})
    row = OperatorProgress("minutes", 1, received=9, each=(ReplicaProgress(0, running=True, statistics=statistics),))
    target = Console(file=io.StringIO(), width=150)
    target.print(progress_table("running", [row, ROW]))
    titles, cells, others, _ = target.file.getvalue().splitlines()
    place = titles.index("late") + len("late") - 1
    assert (cells[place], others[place]) == ("7", "0")
    Screen(quiet=False).end(result(operators={"minutes": operator_numbers(row)}))
    titles, cells = capsys.readouterr().out.splitlines()[:2]
    assert titles.split() == ["operator", "replicas", "received", "sent", "late", "retried", "dead", "restarts"]
    assert cells.split() == ["minutes", "1", "9", "0", "7", "0", "0", "0"]
    assert row_of("minutes", operator_numbers(row)).late == 7

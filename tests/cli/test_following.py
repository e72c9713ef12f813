from __future__ import annotations

import json

import pytest

from interactem.cli.failures import InvalidError
from interactem.cli.following import choose, find_run, print_logs, show_letters, state_of
from interactem.engine.errors import UnknownRunError
from interactem.engine.letters import DeadLetter
from interactem.runtime import BytesMessage, MessageHeader


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


def letter(number, operator="trouble"):
    message = BytesMessage(MessageHeader(meta={"number": number}), b"12345678", id=f"numbers.{number}")
    return DeadLetter("s", message, operator, "in", "ValueError: no\nmore", "Traceback\n  here", 3, 0.0, {})


LETTERS = [letter(1), letter(2), letter(2, "other")]


@pytest.mark.parametrize(
    ("ids", "operator", "expected"),
    [
        ((), None, [0, 1, 2]),
        (("numbers.2",), None, [1, 2]),
        (("numbers.2",), "other", [2]),
        ((), "trouble", [0, 1]),
        ((), "nobody", []),
    ],
)
def test_letters_are_chosen_by_id_and_operator(ids, operator, expected):
    assert choose(LETTERS, ids, operator) == [LETTERS[index] for index in expected]


def test_letters_that_there_are_not():
    with pytest.raises(InvalidError, match=r"numbers\.3"):
        choose(LETTERS, ["numbers.1", "numbers.3"], None)
    with pytest.raises(InvalidError, match=r"numbers\.1"):
        choose(LETTERS, ["numbers.1"], "other")


def test_a_letter_for_people(capsys):
    show_letters(LETTERS[:1], as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "numbers.1: trouble.in, 3 attempts",
        "  meta: {'number': 1}",
        "  data: 8 bytes",
        "  ValueError: no",
        "more",
        "  Traceback",
        "    here",
    ]


def test_letters_as_json(capsys):
    show_letters(LETTERS, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in document] == ["numbers.1", "numbers.2", "numbers.2"]
    assert set(document[0]) == {"id", "operator", "port", "error", "traceback", "attempts", "time", "bytes", "meta"}

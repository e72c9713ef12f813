from __future__ import annotations

import json

import pytest

from interactem.cli.failures import InvalidError
from interactem.cli.letters import parse_time, print_whole
from interactem.cli.main import run
from interactem.engine.letters import Choice, DeadLetter
from interactem.runtime import BytesMessage, MessageHeader


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "plan.json").write_text(json.dumps({"version": 1, "run": "20260101-000000-abcd", "name": "test"}))
    return tmp_path


def letter(number, operator="trouble"):
    message = BytesMessage(MessageHeader(meta={"number": number}), b"12345678", id=f"numbers.{number}")
    return DeadLetter("s", message, operator, "in", "ValueError: no\nmore", "Traceback\n  here", 3, float(number), {})


LETTERS = [letter(1), letter(2), letter(2, "other")]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), [0, 1, 2]),
        (Choice(ids=("numbers.2",)), [1, 2]),
        (Choice(ids=("numbers.2",), operator="other"), [2]),
        (Choice(operator="trouble"), [0, 1]),
        (Choice(operator="nobody"), []),
        (Choice(port="in"), [0, 1, 2]),
        (Choice(port="out"), []),
        (Choice(error="valueERROR"), [0, 1, 2]),
        (Choice(error="more than that"), []),
        (Choice(since=1.5), [1, 2]),
        (Choice(until=1.0), [0]),
        (Choice(since=1.0, until=2.0, operator="other"), [2]),
    ],
)
def test_letters_are_chosen_by_what_is_given(choice, expected):
    assert choice.of(LETTERS) == [LETTERS[index] for index in expected]
    assert choice.all == (choice == Choice())


def test_letters_that_there_are_not():
    with pytest.raises(LookupError, match=r"numbers\.3"):
        Choice(ids=("numbers.1", "numbers.3")).of(LETTERS)
    with pytest.raises(LookupError, match=r"numbers\.1"):
        Choice(ids=("numbers.1",), operator="other").of(LETTERS)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("90s", 910.0),
        ("1.5m", 910.0),
        ("0h", 1000.0),
        ("1970-01-02T00:00:01+00:00", 86401.0),
        ("1970-01-01T02:00+02:00", 0.0),
    ],
)
def test_times(text, seconds):
    assert parse_time(text, lambda: 1000.0) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "10", "10 m", "-5m", "2026-13-01"])
def test_what_is_no_time(text):
    with pytest.raises(InvalidError, match="is not a time"):
        parse_time(text)


def test_all_are_dropped_only_when_that_is_said(capsys, own_folder):
    for arguments in ([], ["--operator", "trouble", "--all"]):
        assert run(["pipeline", "dead", "drop", str(own_folder), *arguments]) == 2
        assert "say which dead letters" in capsys.readouterr().err


def test_a_letter_for_people(capsys):
    print_whole(LETTERS[:1], as_json=False)
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
    print_whole(LETTERS, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in document] == ["numbers.1", "numbers.2", "numbers.2"]
    assert set(document[0]) == {"id", "operator", "port", "error", "traceback", "attempts", "time", "bytes", "meta"}

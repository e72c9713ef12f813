"""Commands that take message after message: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
import os
import signal

import pytest

from interactem.runtime import BytesMessage, MessageHeader
from interactem.runtime.errors import CommandError, CommandTimeoutError, LoadError
from interactem.runtime.loading import load
from interactem.runtime.testing import Operator

ECHO = """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    what = asked["meta"].get("do", "asked")
    asked["pid"] = os.getpid()
    if what == "asked":
        print(json.dumps({"id": asked["id"], "data": json.dumps(asked)}), flush=True)
    else:
        exec(what)
"""


def given(data=b"", **meta):
    return BytesMessage(MessageHeader(meta=meta), data)


@pytest.fixture
def tool(make):
    """The operator, started; what else its spec and command have."""
    opened = []

    def start(parameters=None, *, spec=None, **command):
        folder = make(ECHO, persistent=True, spec=spec, **command)
        opened.append(Operator(folder, parameters).__enter__())
        return opened[-1]

    yield start
    for one in opened:
        one.__exit__()


def asked(started, message):
    (made,) = started.handle(message)
    return json.loads(bytes(made.data))


def test_one_process_takes_message_after_message(tool):
    started = tool(spec={"parameters": [{"name": "n", "type": "int", "default": 3}]})
    first, second = asked(started, given(b"text", a=1)), asked(started, given(b"\xff"))
    assert first["pid"] == second["pid"]
    assert (first["data"], first["meta"], first["parameters"]) == ("text", {"a": 1}, {"n": 3})
    assert second["data_base64"] == "/w=="
    assert first["attempt"] == 1
    assert first["folder"] != second["folder"]
    assert not os.path.exists(first["folder"])


def test_a_large_message_both_ways(tool):
    data = "ä" * 1_000_000
    assert asked(tool(), given(data.encode()))["data"] == data


def test_data_in_a_file_and_a_result_in_one(tool):
    started = tool(input="file:in.{{ meta.kind }}")
    copy = """
import shutil
shutil.copy(asked["file"], asked["folder"] + "/out")
print(json.dumps({"file": "out", "meta": {"b": 2}}), flush=True)
"""
    (made,) = started.handle(given(b"\0\1", kind="raw", do=copy))
    assert (made.data, made.meta) == (b"\0\1", {"b": 2})


@pytest.mark.parametrize(
    ("answer", "data"),
    [
        ("null", []),
        ("[]", []),
        ("{}", [b""]),
        ('[{"data": "a"}, {"data_base64": "Yg==", "port": "out"}]', [b"a", b"b"]),
        ('openjd_progress: 5\\n\\n{"data": "x"}', [b"x"]),
    ],
)
def test_answers(tool, answer, data):
    assert [made.data for made in tool().handle(given(do=f"print('{answer}', flush=True)"))] == data


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("no json", "answer is not JSON"),
        ("3", "is no object, list of objects, or null: 3"),
        ('{"dat": 1}', "unknown key 'dat'; known keys: data"),
        ('{"data": 1}', "has data that is no text"),
        ('{"data": "a", "file": "b"}', "in several forms: data, file"),
        ('{"data_base64": "!"}', "not base64"),
        ('{"file": "../x"}', "not in the message's folder"),
        ('{"file": "/etc/passwd"}', "not in the message's folder"),
        ('{"file": "none"}', "cannot be read: No such file"),
        ('{"meta": 3}', "a meta that is no object"),
        ('{"port": 3}', "a port that is no text"),
        ('{"id": "other"}', "answers 'other' and not 'case.0'"),
        ('{"error": "it is Monday"}', "says that it has failed: it is Monday"),
    ],
)
def test_an_answer_that_is_none_fails_the_message_alone(tool, answer, words):
    started = tool()
    with pytest.raises(CommandError, match=words):
        started.handle(given(do=f"print('{answer}', flush=True)"))
    assert asked(started, given())["id"] == "case.1"


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("print('cause', file=sys.stderr); sys.exit(4)", "tool.py|python.* ended with exit code 4:\ncause"),
        ("sys.exit(0)", "ended and left a message without an answer"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("print('openjd_fail: broken', flush=True)", "it has failed: broken"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe\\n'); sys.stdout.flush()", "is not JSON"),
    ],
)
def test_a_command_that_ends_is_started_again_with_the_next_message(tool, do, words):
    started = tool()
    with pytest.raises(CommandError, match=words):
        started.handle(given(do=do))
    assert asked(started, given(b"next"))["data"] == "next"


def test_more_than_one_line_is_no_answer(tool):
    started = tool()
    with pytest.raises(CommandError, match="printed more than one line for a message"):
        started.handle(given(do="os.write(1, b'{}' + bytes([10]) + b'{}' + bytes([10]))"))
    assert asked(started, given(b"next"))["data"] == "next"


def test_a_time_limit_ends_it_and_the_next_message_gets_another(tool):
    started = tool(grace=0.5)
    started.context.timeout = 1.0
    with pytest.raises(CommandTimeoutError, match="longer than its limit of 1 s"):
        started.handle(given(do="import time; time.sleep(999)"))
    started.context.timeout = None
    assert asked(started, given(b"next"))["data"] == "next"


def test_what_it_is_started_with_may_change(tool):
    started = tool(
        {"level": "1"},
        spec={"parameters": [{"name": "level", "type": "int"}]},
        environment={"L": "{{ parameters.level }}"},
    )
    first = asked(started, given())
    started.parameters["level"] = 2
    second = asked(started, given())
    assert first["pid"] != second["pid"]
    assert second["parameters"] == {"level": 2}


def test_it_ends_with_its_input(make, tmp_path):
    said = tmp_path / "said"
    program = (
        f"import sys\nfor line in sys.stdin: print('{{}}', flush=True)\nopen({str(said)!r}, 'w').write('at the end')"
    )
    with Operator(make(program, persistent=True)) as started:
        started.handle(given())
        assert not said.exists()
    assert said.read_text() == "at the end"


def test_who_does_not_end_with_its_input_is_ended(make, caplog):
    program = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin: print('{}', flush=True)
time.sleep(999)
"""
    with Operator(make(program, persistent=True, grace=0.2)) as started:
        started.handle(given())
    assert "the command did not end when its standard input did, and was ended" in caplog.messages


def test_a_killed_process_between_two_messages_costs_nothing(tool):
    started = tool()
    os.kill(pid := asked(started, given())["pid"], signal.SIGKILL)
    while os.path.exists(f"/proc/{pid}"):
        pass
    assert asked(started, given(b"x"))["data"] == "x"


def test_a_source_cannot_have_one(make):
    with pytest.raises(LoadError, match="a source has no messages for a persistent command"):
        load(make(arguments=["cat"], persistent=True, spec={"inputs": []}) / "run.py")

"""The lines of tasks and results, the ledger, and files that grow."""

from __future__ import annotations

import json
import os

import pytest

from interactem.runtime import BytesMessage
from interactem.runtime.tasks.ledger import Done, Ledger, OutputError, digest_of, ledger_of
from interactem.runtime.tasks.lines import TOO_LONG, TaskError, content, message_value, parse_task, result_line
from interactem.runtime.tasks.reading import InputError, Lines, Tasks


def test_a_task_has_what_its_line_says():
    task = parse_task(b'{"id": 7, "data_base64": "/w==", "meta": {"n": 1}, "options": {"a": 2}, "deadline": 3}\r')
    assert (task.id, task.data, task.meta, task.options, task.deadline) == (7, b"\xff", {"n": 1}, {"a": 2}, 3.0)
    assert parse_task('{"data": "é"}'.encode()).data == "é".encode()
    assert parse_task(b'{"deadline": "1970-01-01T00:01:00Z"}').deadline == 60
    assert parse_task(b"{}").data == b""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[1]", "the line is a list, not an object"),
        (b"{", "the line is not JSON"),
        (b"\xff\xfe{}", "the line is not UTF-8: invalid start byte at byte 0"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"id": {}}', "its id is neither text nor a number"),
        (b'{"id": true}', "its id is neither text nor a number"),
        (b'{"date": "x"}', "unknown key 'date'"),
        (b'{"data": 3}', "its data is a int, not text"),
        (b'{"data": "\\ud800"}', "half of a surrogate pair"),
        (b'{"data_base64": "!"}', "its data_base64 is not base64"),
        (b'{"data": "a", "file": "b"}', "it has data and file: keep one of them"),
        (b'{"meta": []}', "its meta is a list, not an object"),
        (b'{"options": "a"}', "its options is a str, not an object"),
        (b'{"deadline": "2026-01-01T00:00:00"}', "its deadline is"),
        (b'{"deadline": NaN}', "its deadline is nan"),
        (b'{"deadline": true}', "its deadline is True"),
        (b'{"deadline": 1' + b"0" * 400 + b"}", "give seconds since 1970"),
        (b'{"id": ' + b"9" * 5000 + b"}", "the line is not JSON"),
        (TOO_LONG, "longer than"),
    ],
)
def test_what_is_no_task_is_told(line, said):
    with pytest.raises(TaskError) as raised:
        parse_task(line)
    assert said in str(raised.value)


def test_an_error_knows_its_task():
    with pytest.raises(TaskError) as raised:
        parse_task(b'{"id": "a", "data": 3}')
    assert raised.value.id == "a"


def test_a_file_lies_beside_the_tasks(tmp_path):
    (tmp_path / "frame").write_bytes(b"x")
    assert content(parse_task(b'{"file": "frame"}'), tmp_path).data == b"x"
    with pytest.raises(TaskError, match="no such file"):
        content(parse_task(b'{"file": "gone"}'), tmp_path)


def test_a_result_is_one_line_of_json_whatever_is_in_it():
    message = BytesMessage(data=b"\xff\n")
    message.header.meta = {"nan": float("nan"), "bytes": b"\0", "line": "\u2028\n"}
    line = result_line("\ud800", 3, "success", message_value(message))
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    value = json.loads(line)
    assert value["meta"] == {"nan": None, "bytes": {"base64": "AA=="}, "line": "\u2028\n"}
    assert (value["id"], value["line"], value["data_base64"]) == ("\ud800", 3, "/wo=")


def records(*lines):
    return [(digest_of(line), len(line), 0) for line in lines]


def test_what_was_written_is_there_again(tmp_path):
    output = tmp_path / "r.jsonl"
    ledger = Ledger(output)
    ledger.append(records(b"a\n", b"bb\n"), b"a\nbb\n")
    ledger.close()
    again = Ledger(output)
    assert list(again.digests()) == [digest_of(b"a\n"), digest_of(b"bb\n")]
    assert again.counts == {0: 2}
    again.close()


@pytest.mark.parametrize(("kept", "left"), [(6, 2), (5, 1), (4, 1), (2, 1), (1, 0), (0, 0)])
def test_half_a_result_is_dropped_with_its_record(tmp_path, kept, left):
    output = tmp_path / "r.jsonl"
    ledger = Ledger(output)
    ledger.append(records(b"a\n", b"bbb\n"), b"a\nbbb\n")
    ledger.close()
    os.truncate(output, kept)
    again = Ledger(output)
    assert len(list(again.digests())) == left
    assert output.read_bytes() == b"a\nbbb\n"[: [0, 2, 6][left]]
    again.append(records(b"c\n"), b"c\n")
    again.close()
    assert output.read_bytes().endswith(b"c\n")


def test_half_a_record_is_dropped(tmp_path):
    output = tmp_path / "r.jsonl"
    ledger = Ledger(output)
    ledger.append(records(b"a\n"), b"a\n")
    ledger.close()
    with ledger_of(output).open("ab") as file:
        file.write(b"half")
    again = Ledger(output)
    assert len(list(again.digests())) == 1
    again.close()


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    output = tmp_path / "r.jsonl"
    output.write_text("mine\n")
    with pytest.raises(OutputError, match="exists, and no ledger"):
        Ledger(output)
    output.unlink()
    first = Ledger(output)
    with pytest.raises(OutputError, match="another process writes"):
        Ledger(output)
    first.append(records(b"a\n"), b"a\n")
    first.close()
    with pytest.raises(OutputError, match="is the ledger of something else"):
        Ledger(output, rank=1, world=2)
    with output.open("a") as file:
        file.write("more\n")
    with pytest.raises(OutputError, match="5 bytes that its ledger does not know"):
        Ledger(output)
    output.write_text("XX")
    with pytest.raises(OutputError, match="was changed by somebody else"):
        Ledger(output)


def test_lines_come_again_as_often_as_they_are_done():
    done = Done([b"a", b"b", b"a", b"c"])
    assert [done.take(line) for line in (b"b", b"a", b"a", b"a", b"x", b"c", b"c")] == [
        True, True, True, False, False, True, False,
    ]  # fmt: skip


def read_all(tasks):
    found = []
    while (some := tasks.read()) is not None:
        found += some
    return found


def test_lines_are_read_as_they_become_whole(tmp_path):
    file = tmp_path / "t"
    file.write_bytes(b"\xef\xbb\xbfone\r\n\n  \ntwo\nthr")
    tasks = Tasks(file, [])
    assert [task[:2] for task in read_all(tasks)] == [(1, b"one"), (4, b"two")]
    with file.open("ab") as more:
        more.write(b"ee" + b"e" * 3_000_000 + b"\nfour")
    assert [(number, len(line)) for number, line, _ in read_all(tasks)] == [(5, 3_000_005)]
    assert [task[:2] for task in tasks.rest()] == [(6, b"four")]
    tasks.close()


def test_each_of_several_processes_takes_its_share(tmp_path):
    file = tmp_path / "t"
    file.write_text("a\nb\nc\nd\ne\n")
    shares = []
    for rank in range(2):
        tasks = Tasks(file, [], rank=rank, world=2)
        shares.append([task[:2] for task in read_all(tasks)])
        tasks.close()
    assert shares == [[(1, b"a"), (3, b"c"), (5, b"e")], [(2, b"b"), (4, b"d")]]


def test_a_file_that_was_replaced_is_noticed_and_read_for_what_is_new(tmp_path):
    file = tmp_path / "t"
    file.write_text("a\nb\nc\n")
    tasks = Tasks(file, [])
    given = [digest for _, _, digest in read_all(tasks)]
    assert not tasks.replaced()
    (tmp_path / "new").write_text("x\na\nc\nc\nb\n")
    with file.open("a") as old:
        (tmp_path / "new").rename(file)
        old.write("d\n")
    assert not tasks.replaced()  # there is more to be read of the old one
    assert [task[:2] for task in read_all(tasks)] == [(4, b"d")]
    assert tasks.replaced()
    tasks.restart(given)
    assert [task[:2] for task in read_all(tasks)] == [(1, b"x"), (4, b"c")]
    file.write_text("x\na\nc\nQ\nb\ny\n")  # in its place, and longer than before
    assert tasks.replaced()
    tasks.close()


def test_a_line_that_another_of_its_length_has_taken_the_place_of_is_read(tmp_path):
    """As editors do it that write into the file itself: the end of it is as it was."""
    file = tmp_path / "t"
    tail = "".join(f"{number:06}\n" for number in range(20_000))
    file.write_text("a\n" + tail)
    tasks = Tasks(file, [])
    given = [digest for _, _, digest in read_all(tasks)]
    assert not tasks.replaced()
    file.write_text("b\n" + tail)
    os.utime(file, ns=(0, 10**18))  # clocks of file systems are slow
    assert tasks.replaced()
    tasks.restart(given)
    assert [task[:2] for task in read_all(tasks)] == [(1, b"b")]
    assert not tasks.replaced()
    tasks.close()


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Lines(tmp_path / "gone")
    with pytest.raises(InputError, match="is not a file with lines"):
        Lines(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a file with lines"):
        Lines(tmp_path / "pipe")

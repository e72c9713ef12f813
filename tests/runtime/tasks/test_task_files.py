"""An operator called with each line of a file: what comes out, however often it is killed."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from interactem.runtime.tasks.channel import ChannelError, Place, output_of, place_of

START = """
import os, sys
from interactem.runtime.tasks import channel
sys.exit(channel.main([sys.argv[1]]))
"""

RUN = """
import os, sys, time
from pathlib import Path
from pydantic import BaseModel, Field
from interactem.runtime import BytesMessage, Operator, operator

class Settings(BaseModel):
    times: int = Field(default=1, ge=1)

@operator
class Work(Operator):
    def start(self):
        self.told = Path(self.context.outputs)
        if "fail" in self.init_data:
            raise OSError("no licence")

    def run(self, inputs, parameters: Settings, context):
        text = bytes(inputs.data).decode(errors="replace")
        print("a kernel may print")
        if text == "fail":
            raise ValueError("bad frame")
        if text == "exit":
            sys.exit(3)
        if text == "none":
            return None
        if text == "several":
            return [BytesMessage(data=b"1"), BytesMessage(data=b"\\xff").to("out")]
        if text == "die":
            with (self.told / "deaths").open("a") as file:
                file.write("x")
            os._exit(9)
        if text == "pid":
            time.sleep(0.05)
            return BytesMessage(data=str(os.getpid()).encode())
        if text == "wait":
            (self.told / "waits").touch()
            while not (self.told / "go").exists():
                time.sleep(0.01)
        if text == "sleep":
            (self.told / "waits").touch()
            time.sleep(60)
        if text == "deaf":
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    pass
        return BytesMessage(data=(text * parameters.times).encode())

    def stop(self):
        (self.told / f"stopped.{os.getpid()}").touch()
"""


BEGUN = []


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    while BEGUN:
        process = BEGUN.pop()
        process.kill()
        process.communicate()


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "run.py").write_text(RUN)
    (tmp_path / "outputs").mkdir()
    return tmp_path


def begin(place, *, preexec=None, init_data=None, operator="work", **asked):
    request = {
        "operator": str(place / operator),
        "init_data": init_data or {},
        "parameters": {},
        "outputs": str(place / "outputs"),
        "port": None,
        "secrets": [],
        "channel": {
            "input": str(place / "tasks.jsonl"),
            "output": str(place / "results.jsonl"),
            "follow": False,
            "workers": 1,
            "rank": None,
            "world": None,
            "json": False,
            **asked,
        },
    }
    with (place / "request").open("w+") as file:
        json.dump(request, file)
        file.flush()
        file.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(file.fileno())],
            pass_fds=[file.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=preexec,
        )
    BEGUN.append(process)
    return process


def run(place, **asked):
    process = begin(place, **asked)
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def write(place, *tasks):
    lines = [task if isinstance(task, bytes) else json.dumps(task).encode() for task in tasks]
    (place / "tasks.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def add(place, *tasks):
    with (place / "tasks.jsonl").open("a") as file:
        file.writelines(json.dumps(task) + "\n" for task in tasks)


def results(place, name="results.jsonl"):
    file = place / name
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def wait_for(condition):
    until = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_each_line_has_its_result(place):
    (place / "beside").write_bytes(b"from a file")
    past, future = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    write(
        place,
        b"\xef\xbb\xbf" + b'{"id": 1, "data": "a"}\r',
        {"id": "b", "data": "b", "options": {"times": 2}},
        {"id": "c", "data": "c", "options": {"times": 0}},
        b"[1, 2]",
        b"",
        b"\xff\xff",
        {"id": 7, "data": "fail"},
        {"id": 8, "data": "exit"},
        {"id": 9, "data": "none"},
        {"id": 10, "data": "several"},
        {"id": 11, "file": "beside", "meta": {"n": 1}},
        {"id": 12, "file": "gone"},
        {"id": 13, "data": "late", "deadline": past.isoformat()},
        {"id": 14, "data": "early", "deadline": future.timestamp()},
        {"id": 15, "data": "x" * 5_000_000},
    )
    with (place / "tasks.jsonl").open("a") as file:
        file.write('{"id": 16}')
    code, out, err = run(place)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "15 results: 8 success, 6 failed, 1 cancelled"
    found = {result["line"]: result for result in results(place)}
    assert list(found) == [1, 2, 3, 4, 6, *range(7, 17)]
    assert found[1] == {"id": 1, "line": 1, "status": "success", "data": "a"}
    assert found[2]["data"] == "bb"
    message = found[3]["error"]["message"]
    assert message == "its options do not fit Settings: times: Input should be greater than or equal to 1"
    assert (found[4]["id"], found[4]["status"], found[4]["error"]["type"]) == (None, "failed", "TaskError")
    assert "not UTF-8" in found[6]["error"]["message"]
    assert found[7]["error"]["message"] == "bad frame" and found[7]["error"]["traceback"].startswith("Traceback")
    assert "interactem/runtime" not in found[7]["error"]["traceback"]
    assert found[8]["error"]["type"] == "SystemExit"
    assert found[9] == {"id": 9, "line": 9, "status": "success"}
    assert found[10]["results"] == [{"data": "1"}, {"data_base64": "/w==", "port": "out"}]
    assert found[11]["data"] == "from a file"
    assert "no such file" in found[12]["error"]["message"]
    assert (found[13]["status"], found[13]["error"]["type"]) == ("cancelled", "Cancelled")
    assert found[14]["status"] == "success"
    assert found[15]["data"] == "x" * 5_000_000
    assert len(list((place / "outputs").glob("stopped.*"))) == 1

    # started again, it does what was added, and nothing twice
    with (place / "tasks.jsonl").open("a") as file:
        file.write("\n")
    add(place, {"id": 17, "data": "new"})
    code, _, err = run(place)
    assert code == 1  # there are failures among the results
    assert [result["line"] for result in results(place)][15:] == [17]


def test_options_are_typed_by_the_spec(place):
    folder = place / "typed"
    folder.mkdir()
    (folder / "run.py").write_text(
        "from interactem.runtime import BytesMessage, operator\n@operator\ndef kernel(inputs, parameters):\n"
        "    return BytesMessage(data=repr(sorted(parameters.items())).encode())\n"
    )
    parameter = {
        "name": "level",
        "label": "Level",
        "description": "x",
        "type": "float",
        "default": "1",
        "required": True,
    }
    spec = {
        "id": "b0a3d4d2-2f1f-4f61-9a6b-3b1f4f5a0c11", "label": "T", "description": "T", "image": "t",
        "inputs": [{"name": "in", "label": "In", "type": "any", "description": "x"}],
        "outputs": [{"name": "out", "label": "Out", "type": "any", "description": "x"}],
        "parameters": [parameter],
    }  # fmt: skip
    (folder / "operator.json").write_text(json.dumps(spec))
    write(place, {}, {"options": {"level": "2.5"}}, {"options": {"level": "high"}}, {"options": {"levl": 1}}, {})
    assert run(place, operator="typed")[0] == 1
    found = results(place)
    assert [one.get("data") for one in found] == [
        "[('level', 1.0)]", "[('level', 2.5)]", None, None, "[('level', 1.0)]"
    ]  # fmt: skip
    assert "options.level" in found[2]["error"]["message"]
    assert "no such parameter" in found[3]["error"]["message"] and "level" in found[3]["error"]["message"]


def test_a_task_that_ends_its_process_fails_alone(place):
    write(place, {"data": "a"}, {"id": "bad", "data": "die"}, {"data": "b"}, {"data": "c"})
    code, _, _ = run(place)
    assert code == 1
    found = {result["line"]: result for result in results(place)}
    assert {line: one["status"] for line, one in found.items()} == dict.fromkeys([1, 3, 4], "success") | {2: "failed"}
    assert found[2]["id"] == "bad"
    assert found[2]["error"]["message"] == "the process that was at it ended its process with exit code 9, twice"
    assert (place / "outputs" / "deaths").read_text() == "xx"


def test_deadlines_end_what_goes_on(place):
    soon = time.time() + 4
    write(
        place,
        {"id": 1, "data": "sleep", "deadline": soon},
        {"id": 2, "data": "deaf", "deadline": soon},
        {"data": "a", "deadline": "9999-12-31T23:59:59Z"},
    )
    assert run(place, workers=2)[0] == 1
    found = {result["line"]: result for result in results(place)}
    assert [found[line]["status"] for line in (1, 2, 3)] == ["cancelled", "cancelled", "success"]


def test_several_workers_share_the_tasks(place):
    write(place, *({"id": number, "data": "pid"} for number in range(40)))
    (place / "outputs").rmdir()
    assert run(place, workers=3)[0] == 0
    assert len(list((place / "outputs").glob("stopped.*"))) == 3
    found = results(place)
    assert sorted(result["id"] for result in found) == list(range(40))
    assert len({result["data"] for result in found}) == 3


def test_of_several_processes_each_does_its_share(place):
    write(place, *({"id": number, "data": "a"} for number in range(10)))
    for rank in range(3):
        assert run(place, rank=str(rank), world="3")[0] == 0
    for rank in range(3):
        assert [one["id"] for one in results(place, f"results.{rank}.jsonl")] == list(range(rank, 10, 3))
    code, _, err = run(place, rank="0", world="2")
    assert code == 2 and "is the ledger of something else" in err


def test_names_of_shares():
    assert output_of(Path("a/results.jsonl"), Place(2, 4)) == Path("a/results.2.jsonl")
    assert output_of(Path("results"), Place(0, 1)) == Path("results.0")
    assert output_of(Path("results.jsonl"), place_of(None, None)) == Path("results.jsonl")
    for rank, world in (("4", "4"), ("x", "1"), (None, "2"), ("-1", "2")):
        with pytest.raises(ChannelError, match="SDRUN_RANK is"):
            place_of(rank, world)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("workers", [1, 2])
def test_kill_nine_loses_and_doubles_nothing(place, workers):
    count = 30_000
    write(place, *({"id": number, "data": str(number)} for number in range(count)))
    chance = random.Random(workers)
    kills = 0
    for _ in range(5):
        process = begin(place, workers=workers)
        before = len(results_so_far(place))
        wait_for(partial(has_grown, place, process, before))
        time.sleep(chance.random() * 0.1)
        if process.poll() is None:
            if chance.random() < 0.5:
                kills += 1
                process.kill()
            else:
                for worker in children(process.pid):
                    kills += 1
                    os.kill(worker, signal.SIGKILL)
                process.kill()
        process.communicate()
    assert kills
    assert run(place, workers=workers)[0] == 0
    found = results(place)
    assert Counter(result["id"] for result in found) == Counter(range(count))
    assert all(result["data"] == str(result["id"]) for result in found)


def has_grown(place, process, before):
    return process.poll() is not None or len(results_so_far(place)) > before


def results_so_far(place):
    file = place / "results.jsonl"
    return file.read_bytes() if file.exists() else b""


def children(pid):
    try:
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def test_a_worker_that_is_killed_costs_nothing_and_leaves_nothing(place, monkeypatch):
    (place / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(place / "temporary"))
    write(place, {"data": "a"}, {"data": "wait"}, {"data": "b"})
    process = begin(place)
    wait_for((place / "outputs" / "waits").exists)
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    (place / "outputs" / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert [result["status"] for result in results(place)] == ["success"] * 3
    assert list((place / "temporary").iterdir()) == []


def test_a_growing_file_is_followed_also_one_that_is_replaced(place):
    write(place, {"id": 1})
    process = begin(place, follow=True)
    wait_for(lambda: len(results(place)) == 1)
    with (place / "tasks.jsonl").open("a") as file:
        file.write('{"id": 2, "da')
        file.flush()
        file.write('ta": "b"}\n')
    wait_for(lambda: len(results(place)) == 2)
    (place / "new").write_text('{"id": 0}\n{"id": 1}\n{"id": 2, "data": "b"}\n{"id": 3}\n')
    (place / "new").rename(place / "tasks.jsonl")
    wait_for(lambda: len(results(place)) == 4)
    add(place, {"id": 4})
    wait_for(lambda: len(results(place)) == 5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [result["id"] for result in results(place)] == [1, 2, 0, 3, 4]


def wait_until_told(process):
    assert any(line.startswith("ending when what goes on is done") for line in process.stderr)


def test_once_interrupted_it_ends_what_goes_on_twice_at_once(place):
    write(place, {"id": 1, "data": "wait"}, {"id": 2, "data": "a"})
    process = begin(place)
    wait_for((place / "outputs" / "waits").exists)
    process.send_signal(signal.SIGINT)
    wait_until_told(process)
    (place / "outputs" / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [result["id"] for result in results(place)] == [1]

    write(place, {"id": 1, "data": "wait"}, {"id": 2, "data": "sleep"})
    (place / "outputs" / "waits").unlink()
    process = begin(place)
    wait_for((place / "outputs" / "waits").exists)
    (worker,) = children(process.pid)
    process.send_signal(signal.SIGINT)
    wait_until_told(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130 and not Path(f"/proc/{worker}").exists()
    assert [result["id"] for result in results(place)] == [1]


def test_a_full_disk_loses_nothing(place):
    write(place, *({"id": number, "data": "x" * 50} for number in range(2_000)))

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))

    code, _, err = run(place, preexec=small_files)
    assert code == 1
    assert "file too large; what was done is kept: start it again" in err
    assert 0 < len(results(place)) < 2_000
    assert run(place)[0] == 0
    assert [result["id"] for result in results(place)] == list(range(2_000))


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ({"input": "gone.jsonl"}, 2, "no such file"),
        ({"input": "outputs"}, 2, "is not a file with lines"),
        ({"output": "tasks.jsonl"}, 2, "is the input too"),
        ({"output": "outputs"}, 2, "is not a file that results can be written to"),
        ({"output": "."}, 2, "is not a file that results can be written to"),
        ({"output": "nowhere/results.jsonl"}, 2, "there is no folder"),
        ({"init_data": {"fail": 1}}, 1, "Work.start: its set-up failed: OSError: no licence"),
    ],
)
def test_bad_input_is_told(place, asked, code, said):
    write(place, {})
    paths = {name: str(place / value) for name, value in asked.items() if name != "init_data"}
    got, out, err = run(place, **{**asked, **paths})
    assert (got, out) == (code, "")
    assert err.startswith("error: ") and said in err
    assert results(place) == []
    if code == 2:
        assert not list(place.rglob("*.ledger"))

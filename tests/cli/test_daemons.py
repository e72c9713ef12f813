"""`interactem operator run --run-data` and `operator daemon`: an operator's lifecycle from the command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from interactem.cli import daemon_client, entry, main
from interactem.runtime import daemon, frames

COMMAND = [sys.executable, "-m", "interactem.cli.entry", "operator"]

RUN = """
import os, subprocess, sys, time
from pathlib import Path
from interactem.runtime import BytesMessage, Operator, operator

@operator
class App(Operator):
    def start(self):
        print("start", sorted(self.init_data), flush=True)
        if "wait" in self.init_data:
            Path(self.init_data["wait"]).touch()
            time.sleep(60)
        if "child" in self.init_data:
            subprocess.Popen(["sleep", self.init_data["child"]])
        if "die" in self.init_data:
            os._exit(3)
        if "fail" in self.init_data:
            raise OSError("no licence")
        self.runs = 0

    def run(self, run_data):
        self.runs += 1
        print("run", self.runs, flush=True)
        for number in range(run_data.get("noise", 0)):
            print("x" * 99, file=sys.stderr if number % 2 else sys.stdout)
        if "touch" in run_data:
            Path(run_data["touch"]).touch()
            time.sleep(60)
        if "fail" in run_data:
            raise ValueError(run_data["fail"])
        if "exit" in run_data:
            sys.exit(run_data["exit"])
        if "die" in run_data:
            os._exit(3)
        if "size" in run_data:
            print(len(run_data["size"]))
        if "shell" in run_data:
            subprocess.run(run_data["shell"], shell=True)
        if "reply" in run_data:
            return BytesMessage(data=run_data["reply"].encode())

    def stop(self):
        print("stop")

    def cleanup(self):
        print("cleanup")

    def cancel(self):
        print("cancel", flush=True)
"""


BEGUN = []


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    while BEGUN:
        process = BEGUN.pop()
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app") / "app"
    folder.mkdir()
    (folder / "run.py").write_text(RUN)
    return folder


@pytest.fixture
def place(monkeypatch):
    """A connection file; beside it are `sockets` and `temporary`, the folders that all else comes into."""
    with tempfile.TemporaryDirectory(prefix="daemon-") as folder:  # a socket's path is short
        for name, variable in (("sockets", "XDG_RUNTIME_DIR"), ("temporary", "TMPDIR")):
            (Path(folder) / name).mkdir()
            monkeypatch.setenv(variable, f"{folder}/{name}")
        file = Path(folder) / "c.json"
        yield file
        if file.exists():
            command("daemon", "stop", "--connection-file", file)


def command(*arguments, **options):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False, **options
    )
    return done.returncode, done.stdout, done.stderr


def begin(*arguments):
    pipe = subprocess.PIPE
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=pipe, stderr=pipe, text=True)
    BEGUN.append(process)
    return process


def data(**values):
    return json.dumps(values)


def run(place, **values):
    return command("daemon", "run", "--connection-file", place, "--run-data", data(**values))


def start(app, place, *more, **values):
    return command("daemon", "start", app, "--connection-file", place, "--init-data", data(**values), *more)


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def left(place):
    """What there still is of a daemon."""
    return [path for path in (place, *place.parent.glob("*/interactem-*")) if path.exists()]


def command_lines():
    lines = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.add(file.read_bytes())
    return lines


def daemons():
    """The ids of the daemons that run, by their command lines: of ours, where other tests run beside these."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    ours = f"PYTEST_XDIST_WORKER={worker}".encode() if worker else b""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_daemon = b"interactem.runtime.daemon" in (folder / "cmdline").read_bytes()
            if is_daemon and (not ours or ours in (folder / "environ").read_bytes()):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def started(app, place, **values):
    """Start a daemon; its process id."""
    before = daemons()
    assert start(app, place, **values)[0] == 0
    (found,) = set(daemons()) - set(before)
    return found


# the whole lifecycle, once


def test_run_goes_through_the_lifecycle(app, tmp_path):
    (tmp_path / "frame.yaml").write_text("# a frame\nreply: two\n")
    code, out, err = command(
        *("run", app, "--init-data", "{scene: 1}"),
        *("--run-data", data(reply="one"), "--run-data", f"file://{tmp_path}/frame.yaml"),
        cwd=tmp_path,
    )
    assert (code, out) == (0, "start ['scene']\nrun 1\nonerun 2\ntwostop\ncleanup\n")
    assert [json.loads(line)["bytes"] for line in err.splitlines()] == [3, 3]


@pytest.mark.parametrize(
    ("given", "code", "said"), [({"fail": "bad frame"}, 1, "ValueError: bad frame"), ({"exit": 7}, 7, "")]
)
def test_the_first_run_that_fails_ends_it(app, tmp_path, given, code, said):
    got, out, err = command("run", app, "--run-data", data(**given), "--run-data", "{}", cwd=tmp_path)
    assert (got, out) == (code, "start []\nrun 1\nstop\ncleanup\n")
    assert said in err and "site-packages" not in err and "interactem/runtime" not in err


def test_a_failed_start_is_cleaned_up(app, tmp_path):
    code, out, err = command("run", app, "--init-data", data(fail=1), "--run-data", "{}", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert (code, out) == (1, "start ['fail']\ncleanup\n")
    assert err.startswith("error: App.start: its set-up failed: OSError: no licence")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_at_once(app, tmp_path, number):
    process = begin("run", app, "--outputs", tmp_path, "--run-data", data(touch=str(tmp_path / "there")))
    wait_for((tmp_path / "there").exists)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "start []\nrun 1\ncancel\nstop\ncleanup\n")
    assert err == "error: cancelled\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[1, 2]", "--run-data: it is a list, not a dict"),
        ("a: [", "--run-data: it is neither JSON nor YAML"),
        ("", "--run-data: it is empty, not a dict"),
        ("file:///nowhere/at-all", "--run-data: /nowhere/at-all: no such file"),
        ("[" * 100_000, "--run-data"),
    ],
)
def test_data_that_is_no_dict_starts_nothing(app, capsys, given, said):
    assert main.run(["operator", "run", str(app), "--run-data", given]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and "Traceback" not in err


def test_forms_are_not_mixed(app, capsys):
    assert main.run(["operator", "run", str(app), "--run-data", "{}", "--limit", "3"]) == 2
    assert "--limit cannot go with --run-data" in capsys.readouterr().err


# the daemon


def test_it_stays_loaded_and_each_run_has_its_own_end(app, place):
    assert start(app, place, scene=1) == (0, "start ['scene']\n", "")
    assert place.stat().st_mode & 0o777 == 0o600
    (room,) = (place.parent / "sockets").iterdir()
    assert room.stat().st_mode & 0o777 == 0o700
    assert (room / "socket").stat().st_mode & 0o777 == 0o600

    assert run(place)[:2] == (0, "run 1\n")
    code, out, err = run(place, fail="bad")
    assert (code, out) == (1, "run 2\n") and "ValueError: bad" in err
    assert run(place, exit=5) == (5, "run 3\n", "")
    assert run(place, reply="yes")[:2] == (0, "run 4\nyes")
    big = place.parent / "big.json"
    big.write_text(data(size="x" * 3_000_000))
    assert command("daemon", "run", "--connection-file", place, f"--run-data=file://{big}")[1] == "run 5\n3000000\n"
    assert run(place, shell="echo from a child")[1] == "run 6\nfrom a child\n"

    assert command("daemon", "stop", "--connection-file", place) == (0, "stop\ncleanup\n", "")
    assert left(place) == []


def test_results_are_never_mixed_up_under_heavy_output(app, place):
    start(app, place)
    for number in range(3):
        code, out, err = run(place, noise=20_000, fail="bad")
        assert code == 1 and err.endswith("ValueError: bad\n")
        assert (out.count("x" * 99), err.count("x" * 99)) == (10_000, 10_000)
        code, out, err = run(place)
        assert (code, out, err) == (0, f"run {2 * number + 2}\n", "")


def test_runs_at_once_take_turns(app, place):
    start(app, place)
    processes = [begin("daemon", "run", "--connection-file", place, "--run-data", data(noise=1000)) for _ in range(4)]
    outs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(out.splitlines()[0] for out, _ in outs) == ["run 1", "run 2", "run 3", "run 4"]
    assert all(out.count("x" * 99) == 500 for out, _ in outs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_client_that_is_interrupted_or_killed_cancels_its_run_alone(app, place, number):
    start(app, place)
    there = place.parent / "there"
    process = begin("daemon", "run", "--connection-file", place, "--run-data", data(touch=str(there)))
    wait_for(there.exists)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    if number != signal.SIGKILL:
        assert (process.returncode, out) == (130, "run 1\ncancel\n")
    assert run(place)[:2] == (0, "run 2\n")


def test_a_failed_start_leaves_nothing(app, place):
    before = daemons()
    code, out, err = start(app, place, fail=1)
    assert (code, out) == (1, "start ['fail']\ncleanup\n")
    assert err.startswith("error: App.start: its set-up failed: OSError: no licence")
    assert left(place) == []
    wait_for(lambda: daemons() == before)


@pytest.mark.parametrize("how", ["fail", "die"])
def test_what_a_failed_start_has_started_ends_with_it(app, place, how):
    seconds = f"{1e6 + os.getpid():.0f}"
    assert start(app, place, child=seconds, **{how: 1})[0] == 1
    wait_for(lambda: f"sleep\0{seconds}\0".encode() not in command_lines())
    assert left(place) == []


def test_what_an_operator_has_left_running_ends_with_its_daemon(app, place):
    seconds = f"{2e6 + os.getpid():.0f}"
    assert start(app, place, child=seconds)[0] == 0
    assert f"sleep\0{seconds}\0".encode() in command_lines()
    assert command("daemon", "stop", "--connection-file", place)[:2] == (0, "stop\ncleanup\n")
    wait_for(lambda: f"sleep\0{seconds}\0".encode() not in command_lines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_start_that_is_interrupted_leaves_nothing(app, place, number):
    before = daemons()
    there = place.parent / "there"
    process = begin("daemon", "start", app, "--connection-file", place, "--init-data", data(wait=str(there)))
    wait_for(there.exists)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    wait_for(lambda: daemons() == before)
    assert left(place) == []


def test_a_second_daemon_on_the_same_file_is_refused(app, place):
    start(app, place)
    code, _, err = start(app, place)
    assert code == 2 and "a daemon runs there; stop it first" in err
    assert run(place)[0] == 0


def test_a_daemon_that_was_killed_is_told_and_can_be_started_again(app, place):
    os.kill(started(app, place), signal.SIGKILL)
    code, _, err = run(place)
    assert code == 1 and "its daemon is gone, and did not stop and clean up" in err
    assert start(app, place)[0] == 0
    assert len(list((place.parent / "sockets").iterdir())) == 1
    assert run(place, die=1)[0] == 1
    code, _, err = command("daemon", "stop", "--connection-file", place)
    assert code == 1 and "is gone" in err
    assert left(place) == []


def test_sigterm_ends_the_daemon_in_the_middle_of_a_run(app, place):
    pid = started(app, place)
    there = place.parent / "there"
    process = begin("daemon", "run", "--connection-file", place, "--run-data", data(touch=str(there)))
    wait_for(there.exists)
    os.kill(pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "run 1\ncancel\n")
    wait_for(lambda: not place.exists())


def test_it_ends_when_nobody_has_run_it_for_long(app, place):
    assert start(app, place, "--idle-timeout", "0.3")[0] == 0
    wait_for(lambda: not place.exists())
    wait_for(lambda: not list((place.parent / "sockets").iterdir()))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1]", "is not a connection file"),
        ("\0\0", "is not a connection file"),
        ("[" * 50_000, "is not a connection file"),
        ('{"interactem_daemon": 1, "socket": "x"}', "is not a connection file"),
        ('{"interactem_daemon": 1, "socket": "/a\\u0000b"}', "is not a connection file"),
        ('{"interactem_daemon": 9, "socket": "/x"}', "is of version 9"),
        (None, "there is no such connection file"),
    ],
)
def test_what_is_no_connection_file(place, content, said):
    if content is not None:
        place.write_text(content)
    code, _, err = run(place)
    place.unlink(missing_ok=True)
    assert code == 2 and said in err


def test_nothing_is_removed_that_a_connection_file_names_by_mistake(app, place):
    precious = [place.parent / "interactem-one" / "socket", place.parent / "two" / "file"]
    for path in precious:
        path.parent.mkdir(mode=0o700)
        path.write_text("not ours")
    named = {"socket": str(precious[0]), "folder": str(precious[1].parent)}
    place.write_text(json.dumps({"interactem_daemon": 1, **named}))
    assert start(app, place)[0] == 0
    assert command("daemon", "stop", "--connection-file", place)[0] == 0
    assert [path.read_text() for path in precious] == ["not ours"] * 2


def test_a_connection_file_of_another_user_is_not_believed(place, monkeypatch):
    place.write_text('{"interactem_daemon": 1, "socket": "/x"}')
    monkeypatch.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
    with pytest.raises(Exception, match="belongs to another user"):
        daemon_client.socket_of(str(place))
    place.unlink()


def test_clients_of_other_users_are_not_heard(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert daemon._is_ours(ours)
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert not daemon._is_ours(ours)
        assert daemon._job_of(ours) is None


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["--connection-file", "c", "--run-data", "{}"], ("c", ["{}"])),
        (["--run-data={a: 1}", "--run-data", "{}", "--connection-file=c"], ("c", ["{a: 1}", "{}"])),
        (["--connection-file", "c"], ("c", ["{}"])),
        (["--connection-file"], None),
        (["--run-data", "{}"], None),
        (["--connection-file", "c", "--help"], None),
        (["--connection-file", "c", "--connection-file", "d"], None),
    ],
)
def test_the_quick_way_reads_what_it_knows(arguments, asked):
    assert entry._quick([*entry.QUICK, *arguments]) == asked
    assert entry._quick(["operator", "daemon", "stop", *arguments]) is None


def test_nothing_secret_is_in_the_process_list(app, place):
    start(app, place, password="hunter2")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            shown = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        assert b"hunter2" not in shown, folder


def test_both_sides_speak_of_the_same_frames():
    names = ("REQUEST", "CANCEL", "STDOUT", "STDERR", "RESULT")
    assert [getattr(frames, name) for name in names] == [getattr(daemon_client, name) for name in names]
    assert frames.HEADER.format == daemon_client.HEADER.format


def test_the_quick_way_imports_little():
    asked = "import sys; from interactem.cli import entry, daemon_client; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    assert not {"typer", "asyncio", "pydantic", "dataclasses", "subprocess", "inspect", "logging"} & set(modules)

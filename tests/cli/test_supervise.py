"""`interactem supervise` with real processes."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

PROGRAM = [sys.executable, "-c", "from interactem.cli.main import main; main()", "supervise"]
WAIT = 60


class Supervise:
    """The command, with its lines as they come."""

    def __init__(self, *arguments, **options):
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        self.process = subprocess.Popen([*PROGRAM, *map(str, arguments)], env=environment, bufsize=0, **pipes)
        self.read = b""

    def line(self):
        while b"\n" not in self.read:
            assert select.select([self.process.stdout], [], [], WAIT)[0], "nothing was printed"
            chunk = self.process.stdout.read(4096)
            assert chunk, f"it ended: {self.end()}"
            self.read += chunk
        line, _, self.read = self.read.partition(b"\n")
        return line.decode()

    def pids(self, count):
        """What so many workers print first: `[worker-0#1][stdout] PID …`."""
        return [int(self.line().split("] ")[1].split()[0]) for _ in range(count)]

    def end(self):
        out, err = self.process.communicate(timeout=WAIT)
        err = err or b""
        return self.process.returncode, (self.read + out).decode().splitlines(), err.decode().splitlines()


def run(*arguments):
    return Supervise(*arguments).end()


@pytest.fixture
def supervise():
    started = []

    def start(*arguments, **options):
        started.append(Supervise(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def gone(pid):
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], WAIT)[0])
    finally:
        os.close(descriptor)


def sh(script):
    return "--", "sh", "-c", script


def test_a_line_says_whose_it_is_and_a_worker_who_it_is():
    variables = "$SDRUN_MODE $SDRUN_WORLD_SIZE $SDRUN_RANK $SDRUN_LOCAL_RANK"
    code, out, err = run("-w", 3, *sh(f"echo {variables}; echo oh >&2"))
    assert code == 0
    assert sorted(out) == [f"[worker-{rank}#1][stdout] true 3 {rank} {rank}" for rank in range(3)]
    assert sorted(line for line in err if "stderr" in line) == [f"[worker-{rank}#1][stderr] oh" for rank in range(3)]


def test_by_default_there_is_one_and_a_failure_is_its_end():
    code, out, _ = run(*sh("echo $SDRUN_WORLD_SIZE; exit 3"))
    assert (code, out) == (3, ["[worker-0#1][stdout] 1"])


def test_the_sum_of_the_codes_never_wraps_to_0():
    assert run("-w", 4, *sh("exit 64"))[0] == 255


def test_a_worker_that_fails_is_started_again_so_often_and_each_has_its_own_count():
    code, out, err = run("-w", 2, "--restart", 2, *sh("echo here; [ $SDRUN_RANK = 0 ] || exit 5"))
    assert code == 5
    assert sorted(out) == [
        "[worker-0#1][stdout] here",
        "[worker-1#1][stdout] here",
        "[worker-1#2][stdout] here",
        "[worker-1#3][stdout] here",
    ]
    assert "[supervise] worker-1#2 ended with exit code 5; starts again in 0.1 s" in err
    assert "[supervise] worker-1#3 ended with exit code 5" in err


def test_always_is_until_it_succeeds(tmp_path):
    script = f"echo x >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) -ge 5 ]"
    assert run("--restart", "always", *sh(script))[0] == 0
    assert (tmp_path / "tries").read_text() == 5 * "x\n"


def test_a_signalled_worker_counts_as_128_and_the_signal():
    code, _, err = run(*sh("kill -9 $$"))
    assert code == 137
    assert "[supervise] worker-0#1 was killed by SIGKILL" in err


def test_success_shuts_down(supervise):
    one = supervise("-w", 3, "--success-exit", "shutdown", *sh("[ $SDRUN_RANK = 1 ] && exit 0; exec sleep 1000"))
    code, _, err = one.end()
    assert code == 0
    assert "[supervise] worker-1#1 ends all workers" in err
    assert "[supervise] worker-2#1 was killed by SIGTERM" in err


def test_failure_shuts_down_once_the_restarts_are_used_up():
    script = "[ $SDRUN_RANK = 1 ] && exit 7; exec sleep 1000"
    code, _, err = run("-w", 2, "--restart", 1, "--failure-exit", "shutdown", *sh(script))
    assert code == 7
    assert [line for line in err if "worker-1" in line] == [
        "[supervise] worker-1#1 ended with exit code 7; starts again in 0.05 s",
        "[supervise] worker-1#2 ended with exit code 7",
        "[supervise] worker-1#2 ends all workers",
    ]


def test_workers_that_do_not_listen_are_killed_after_the_grace(tmp_path):
    script = (
        "import asyncio, sys\n"
        "from interactem.engine.workers import Policy, supervise\n"
        "sys.exit(asyncio.run(supervise(sys.argv[1:], Policy(2, success='shutdown'), grace=0.2)))\n"
    )
    # the one that succeeds waits until the other one does not listen
    deaf = f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 1; done"
    worker = f"if [ $SDRUN_RANK = 1 ]; then until [ -e {tmp_path}/deaf ]; do sleep 0.05; done; else {deaf}; fi"
    done = subprocess.run(
        [sys.executable, "-c", script, "sh", "-c", worker], capture_output=True, text=True, timeout=WAIT
    )
    assert done.returncode == 0, done.stderr
    assert "[supervise] worker-0#1 was killed by SIGKILL" in done.stderr


def test_workers_that_start_later_start_too():
    code, out, _ = run("-w", 3, "--startup-stagger", 0.1, *sh("echo $SDRUN_RANK"))
    assert code == 0
    assert sorted(out) == [f"[worker-{rank}#1][stdout] {rank}" for rank in range(3)]


def test_those_that_have_not_started_are_not_when_all_are_to_end(supervise):
    one = supervise("-w", 2, "--startup-stagger", 1000, *sh("echo $$; exec sleep 1000"))
    one.pids(1)
    one.process.terminate()
    code, out, _ = one.end()
    assert (code, out) == (143, [])


HEARS = """
import os, signal, subprocess, sys, time
def heard(number, frame):
    print("heard", signal.Signals(number).name)
    if number != signal.SIGHUP:
        child.wait()
        sys.exit(4)
for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"):
    signal.signal(getattr(signal, name), heard)
program = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); print('up', flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
child.stdout.readline()
print(os.getpid(), child.pid)
while True:
    time.sleep(1000)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_signals_reach_the_whole_group_of_every_worker_and_nobody_is_started_again(supervise, name):
    one = supervise("-w", 2, "--restart", "always", "--", sys.executable, "-c", HEARS)
    children = [int(one.line().split()[-1]) for _ in range(2)]
    one.process.send_signal(getattr(signal, name))
    code, out, err = one.end()
    assert code == 8, err
    assert sorted(out) == [f"[worker-{rank}#1][stdout] heard {name}" for rank in range(2)]
    assert all(map(gone, children))


def test_a_hang_up_is_passed_on_and_means_what_a_worker_makes_of_it(supervise):
    one = supervise("--restart", "1", "--", sys.executable, "-c", HEARS)
    (worker,) = one.pids(1)
    one.process.send_signal(signal.SIGHUP)
    assert one.line() == "[worker-0#1][stdout] heard SIGHUP"
    os.kill(worker, signal.SIGKILL)  # and it is started again
    (worker,) = one.pids(1)
    one.process.terminate()
    assert one.end()[0] == 4


def test_a_hang_up_ends_workers_that_do_not_handle_it(supervise):
    one = supervise("-w", 2, "--restart", "always", *sh("echo $$; exec sleep 1000"))
    one.pids(2)
    one.process.send_signal(signal.SIGHUP)
    assert one.end()[0] == 255  # twice 129


def test_with_nohup_a_hang_up_is_ignored(supervise):
    one = supervise(*sh("echo $$; exec sleep 1000"), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    one.pids(1)
    one.process.send_signal(signal.SIGHUP)
    one.process.terminate()
    code, _, err = one.end()
    assert code == 143, err


STUBBORN = "trap '' TERM INT HUP; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & echo $$; wait; wait"


def test_no_orphan_when_the_supervisor_is_killed(supervise):
    one = supervise("-w", 3, *sh(STUBBORN))
    pids = one.pids(6)
    one.process.kill()
    assert all(map(gone, pids))


def test_no_orphan_when_a_worker_leaves_something_behind(supervise):
    one = supervise(*sh("sleep 1000 & echo $!; exit 0"))
    (pid,) = one.pids(1)
    assert one.end()[0] == 0
    assert gone(pid)


def test_a_worker_waiting_for_its_restart_is_not_waited_for(supervise):
    one = supervise("--restart", "always", *sh("exit 9"), stderr=subprocess.STDOUT)
    while "starts again in 6.4 s" not in one.line():
        pass
    one.process.terminate()
    assert one.end()[0] == 9


def test_any_bytes_and_long_lines_come_through(supervise):
    script = "import sys; sys.stdout.buffer.write(b'\\xff\\xfe\\n' + b'x' * 200_000 + b'\\nno end')"
    out, _ = supervise("--", sys.executable, "-c", script).process.communicate(timeout=WAIT)
    lines = out.split(b"\n")
    assert lines[0] == b"[worker-0#1][stdout] \xff\xfe"
    assert lines[-2:] == [b"[worker-0#1][stdout] no end", b""]
    assert b"".join(line.removeprefix(b"[worker-0#1][stdout] ") for line in lines[1:-2]) == b"x" * 200_000


def test_lines_of_workers_that_print_at_once_are_whole():
    script = "for number in range(5000): print('x' * 100)"
    code, out, _ = run("-w", 4, "--", sys.executable, "-c", script)
    assert code == 0
    assert len(out) == 20_000
    assert all(re.fullmatch(r"\[worker-\d#1\]\[stdout\] x{100}", line) for line in out)


def test_workers_end_when_nobody_reads_what_they_print(supervise):
    one = supervise(*sh("echo $$; while :; do echo more; done"))
    (pid,) = one.pids(1)
    one.process.stdout.close()
    assert one.process.wait(WAIT) == 143
    assert gone(pid)
    assert b"no output can be written: broken pipe; ends all workers" in one.process.stderr.read()


def test_a_reader_that_sleeps_does_not_keep_signals_waiting(supervise):
    one = supervise(*sh("echo $$; while :; do echo more; done"))
    (pid,) = one.pids(1)
    time.sleep(0.2)  # the pipe is full by then; if it is not, the test is only an easier one
    one.process.terminate()
    assert gone(pid)
    until = time.monotonic() + WAIT
    while one.process.poll() is None and time.monotonic() < until:
        with suppress(ProcessLookupError):
            one.process.terminate()  # once more: it need not wait for the reader
        time.sleep(0.05)
    assert one.process.returncode in (143, -signal.SIGTERM)  # that may come when all is over


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["-w", "0", "--", "true"], "greater than or equal to 1"),
        (["--restart", "often", "--", "true"], "give never, always or a number of times"),
        (["--success-exit", "maybe", "--", "true"], "maybe"),
        (["--startup-stagger", "-1", "--", "true"], "greater than or equal to 0"),
        (["--startup-stagger", "inf", "--", "true"], "give a number of seconds"),
        (["--", "no-such-command-at-all"], "no-such-command-at-all: there is no such command"),
        (["--", "/etc/passwd"], "/etc/passwd: it is not executable"),
    ],
)
def test_wrong_usage(arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, [])
    assert said in re.sub(r"[\s│]+", " ", " ".join(err))
    assert "Traceback" not in "".join(err)


def test_a_program_that_cannot_be_executed_is_said_by_the_worker(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x00\x01\x02")
    program.chmod(0o755)
    code, _, err = run("--", program)
    assert code == 127
    assert any("Exec format error" in line for line in err)

"""Every test here starts a parent that is killed with -9, and sees what becomes of what it started."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from interactem.engine.tether import SCRIPT, tethered

WAIT = 60


def wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], WAIT)[0], f"{pid} outlived its parent"
    finally:
        os.close(descriptor)


def parent(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


SLEEP = ("/bin/sh", "-c", "echo $$; exec sleep 1000")

PARENT = """
    import os, subprocess, sys, time
    command = [sys.executable, "-I", "-S", sys.argv[1], str(os.getpid()), *sys.argv[2:]]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    process.wait()
"""


def test_the_command_dies_with_its_parent():
    with parent(PARENT, SCRIPT, *SLEEP) as started:
        pid = int(started.stdout.readline())
        started.kill()
    wait_for_end(pid)


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """The script as it runs on another system than Linux."""
    script = tmp_path / "tether.py"
    script.write_text(SCRIPT.read_text().replace('sys.platform == "linux"', 'sys.platform == "not this"'))
    assert script.read_text() != SCRIPT.read_text()
    return script


def test_the_command_dies_with_its_parent_elsewhere(elsewhere):
    with parent(PARENT, elsewhere, *SLEEP) as started:
        pid = int(started.stdout.readline())
        started.kill()
    wait_for_end(pid)


RUNTIME = """
    import os, subprocess, sys
    from pathlib import Path
    code = (
        "import os, sys, time; sys.path.insert(0, sys.argv[2]);"
        "from tether import die_with_parent; die_with_parent(int(sys.argv[1]));"
        "print(os.getpid(), flush=True); time.sleep(1000)"
    )
    folder = str(Path(sys.argv[1]).parent)
    child = [sys.executable, "-I", "-S", "-c", code, str(os.getpid()), folder]
    subprocess.Popen(child, stdin=subprocess.PIPE, start_new_session=True).wait()
"""


def test_a_process_can_tie_itself():
    with parent(RUNTIME, SCRIPT) as started:
        pid = int(started.stdout.readline())
        started.kill()
    wait_for_end(pid)


def test_a_process_can_tie_itself_elsewhere(elsewhere):
    with parent(RUNTIME, elsewhere) as started:
        pid = int(started.stdout.readline())
        started.kill()
    wait_for_end(pid)


def test_who_comes_after_its_parent_has_gone_dies_at_once():
    command = tethered(["/bin/echo", "alive"], parent=1)
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (-9, "")


@pytest.mark.parametrize("system", ["here", "elsewhere"])
def test_code_and_output_are_those_of_the_command(request, system):
    script = SCRIPT if system == "here" else request.getfixturevalue("elsewhere")

    def run(*command: str) -> tuple[int, str, str]:
        line = [sys.executable, "-I", "-S", str(script), str(os.getpid()), *command]
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = (pipe.read().decode() for pipe in (process.stdout, process.stderr))
            process.wait()
            return process.returncode, out, err

    assert run("/bin/sh", "-c", "echo out; exit 7") == (7, "out\n", "")
    assert run("/bin/sh", "-c", "kill -15 $$")[0] == -15
    assert run("/bin/sh", "-c", "kill -9 $$")[0] == -9
    assert run("/no/such/program") == (127, "", "/no/such/program: No such file or directory\n")


def test_signals_reach_the_command_elsewhere(elsewhere):
    program = ["/bin/sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"]
    line = [sys.executable, "-I", "-S", str(elsewhere), str(os.getpid()), *program]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.terminate()
        assert process.wait(WAIT) == 5


def test_wrong_usage():
    ended = subprocess.run([sys.executable, str(SCRIPT), "x"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: ")

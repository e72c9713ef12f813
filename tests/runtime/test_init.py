"""A container's first process, as the parent of a child that it passes signals to and ends like."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from interactem.runtime import init

PARENT = """
    import os, signal, sys
    from interactem.runtime import init
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*init.PASSED_ON, signal.SIGCHLD})
    child = os.fork()
    if child:
        os.execv(sys.executable, [sys.executable, "-I", "-S", init.__file__, str(child)])
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
"""


def start(child):
    code = textwrap.dedent(PARENT) + textwrap.dedent(child)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("child", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 128 + signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
        ("signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()", 128 + signal.SIGALRM),
    ],
)
def test_it_ends_as_its_child(child, code):
    with start(child) as process:
        assert process.wait(60) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on(number):
    child = """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        signal.signal(signal.SIGINT, lambda *_: sys.exit(6))
        print("ready", flush=True)
        while True: signal.pause()
    """
    with start(child) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(60) == (5 if number == signal.SIGTERM else 6)


def test_a_signal_without_a_handler_ends_the_child():
    with start("print('ready', flush=True)\nsignal.pause()") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM


def test_it_reaps_what_others_left_and_waits_for_its_child_alone():
    child = """
        if os.fork() == 0:
            sys.exit(9)
        os.wait()
        print("ready", flush=True)
        sys.stdin.read()
        sys.exit(4)
    """
    with start(child) as process:
        assert process.stdout.readline() == b"ready\n"
        assert process.wait(60) == 4


def test_elsewhere_than_in_a_container_nothing_happens():
    init.stand_behind_init()


def test_a_child_that_was_killed_to_get_memory(monkeypatch, tmp_path):
    counter = tmp_path / "memory.events"
    monkeypatch.setattr(init, "_COUNTERS", (str(tmp_path / "absent"), str(counter)))
    counter.write_text("oom 1\noom_kill 1\n")
    assert init._memory_kills() == 1
    counter.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert init._memory_kills() == 2
    counter.unlink()
    assert init._memory_kills() == 0

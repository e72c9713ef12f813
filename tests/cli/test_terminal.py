"""On a terminal, which a pseudo-terminal stands in for: questions, colours, Ctrl-C."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).parent / "interactem")
SECONDS = 60


def _take_terminal() -> None:
    """Standard input becomes the session's own terminal, so that keys such as Ctrl-C reach the program."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    def __init__(self, folder: Path, *arguments: str) -> None:
        self.main, other = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=folder,
            env=environment,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(other)
        self.said = ""
        self.heard = 0

    def until(self, text: str) -> None:
        while (found := self.said.find(text, self.heard)) < 0:
            assert self._read(), f"it never said {text!r}:\n{self.said}"
        self.heard = found + len(text)

    def type(self, text: str) -> None:
        os.write(self.main, text.encode())

    def interrupt(self) -> int:
        """Press Ctrl-C until it has an effect: just before a prompt waits, readline may miss it."""
        self.type("\x03")
        while self._read(again="\x03"):
            pass
        return self.end()

    def end(self) -> int:
        while self._read():
            pass
        code = self.process.wait(SECONDS)
        os.close(self.main)
        return code

    def _read(self, again: str = "") -> bool:
        for _ in range(SECONDS):
            ready, _, _ = select.select([self.main], [], [], 1)
            if ready:
                break
            self.type(again)
        else:
            self.process.kill()
            raise AssertionError(f"it says no more:\n{self.said}")
        try:
            data = os.read(self.main, 4096)
        except OSError as error:
            if error.errno != errno.EIO:  # how Linux says that the other end is closed
                raise
            return False
        self.said += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


def test_everything_that_is_missing_is_asked_for(tmp_path):
    terminal = Terminal(tmp_path, "operator", "new")
    terminal.until("Name: ")
    terminal.type("Not A Name\n")
    terminal.until("is not a name for an operator")
    terminal.until("Name: ")
    terminal.type("shout\n")
    terminal.until("Label [Shout]: ")
    terminal.type("\n")
    terminal.until("What does it do, in a sentence")
    terminal.type("Shouts.\n")
    terminal.until("Inputs (")
    terminal.type("in\n")
    terminal.until("'in' is not a port")
    terminal.until("Inputs (")
    terminal.type("in:text, other:text\n")
    terminal.until("Outputs (")
    terminal.type("-\n")
    terminal.until("Parameters (")
    terminal.type("factor:int=2\n")
    terminal.until("May replicas share its input in any order?")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert "Made operators/shout" in terminal.said
    spec = json.loads((tmp_path / "operators/shout/operator.json").read_text())
    assert (spec["label"], spec["description"]) == ("Shout", "Shouts.")
    assert [port["name"] for port in spec["inputs"]] == ["in", "other"]
    assert spec["outputs"] == []
    assert [(p["name"], p["default"]) for p in spec["parameters"]] == [("factor", 2)]
    assert spec["parallel_config"] == {"type": "embarrassing"}


def test_what_is_given_is_not_asked_for(tmp_path):
    given = ["--label", "A", "--description", "B", "--input", "i:x", "--output", "o:x", "--param", "n:int=1"]
    terminal = Terminal(tmp_path, "operator", "new", "a", *given, "--parallel", "none")
    assert terminal.end() == 0
    assert "Made operators/a" in terminal.said
    terminal = Terminal(tmp_path, "operator", "new", "b", "--yes")
    assert terminal.end() == 0
    terminal = Terminal(tmp_path, "operator", "new", "--yes")
    assert terminal.end() == 2
    assert "has no name" in terminal.said


def test_ctrl_c_makes_nothing(tmp_path):
    terminal = Terminal(tmp_path, "operator", "new")
    terminal.until("Name: ")
    assert terminal.interrupt() == 130
    assert "Traceback" not in terminal.said
    assert list(tmp_path.iterdir()) == []


def test_ctrl_d_makes_nothing(tmp_path):
    terminal = Terminal(tmp_path, "operator", "new")
    terminal.until("Name: ")
    terminal.type("\x04")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.said
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_operator_ends_with_the_command(tmp_path):
    (tmp_path / "run.py").write_text(
        "import os, threading\n"
        "from interactem.runtime import operator\n"
        "@operator\n"
        "def hang(inputs):\n"
        "    print('process', os.getpid(), 'is hanging', flush=True)\n"
        "    threading.Event().wait()\n"
    )
    terminal = Terminal(tmp_path, "operator", "run", ".")
    terminal.until(" is hanging")
    process = int(terminal.said.rpartition("process ")[2].split()[0])
    assert terminal.interrupt() == 130
    assert "Traceback" not in terminal.said
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_colours_on_a_terminal(tmp_path):
    terminal = Terminal(tmp_path, "operator", "show", "nothing")
    assert terminal.end() == 2
    assert "\x1b[" in terminal.said

"""Scripts of commands with what they are expected to say, as text.

    $ interactem operator new NAME     a command, run by a shell in the script's folder
    Made ...                           what it writes on standard output; `...` is any text, and alone any lines
    2> error: ...                      what it writes on standard error
    [2]                                its exit code, where it is not 0
    # a comment

A command may take a here-document, `<<'END'`, up to the line `END`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import ExitStack, chdir
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock


@dataclass
class Step:
    command: str
    line: int
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    code: int = 0


def steps(text: str) -> list[Step]:
    found: list[Step] = []
    until = ""
    for number, line in enumerate(text.splitlines(), 1):
        if until:
            found[-1].command += f"\n{line}"
            until = "" if line == until else until
            continue
        if line.startswith("#"):
            continue
        if line.startswith("$ "):
            found.append(Step(line[2:], number))
            here = re.search(r"<<'(\w+)'$", line)
            until = here[1] if here else ""
        elif found and line.startswith("2> "):
            found[-1].err.append(line[3:])
        elif found and (code := re.fullmatch(r"\[(\d+)\]", line)):
            found[-1].code = int(code[1])
        elif found:
            found[-1].out.append(line)
    return found


def run_script(text: str, folder: Path, name: str, *, progress: bool = False) -> None:
    """Raises `AssertionError` where a command says something else, or ends otherwise.

    With `progress`, standard error may hold more than the script tells: what is installed, how far it is.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("INTERACTEM_")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    for step in steps(text):
        done = _run(step.command, folder, environment)
        told = f"{name}:{step.line}: $ {step.command}\n--- stdout\n{done.stdout}--- stderr\n{done.stderr}"
        assert "Traceback" not in done.stderr or "Traceback" in "\n".join(step.err), told
        assert done.returncode == step.code, f"{told}--- exit code {done.returncode}, expected {step.code}"
        assert matches(step.out, done.stdout), f"{told}--- expected stdout\n" + "\n".join(step.out)
        if step.err or not progress:
            assert matches(step.err, done.stderr), f"{told}--- expected stderr\n" + "\n".join(step.err)


def _run(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    if re.fullmatch(r"interactem [^|&;<>$`(){}*]*", command):
        return _run_here(shlex.split(command)[1:], folder, environment)
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def _run_here(arguments: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """In this process: what needs no shell is spared the start of an interpreter."""
    from interactem.cli.main import run

    with ExitStack() as stack:
        streams = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2)]
        nothing = stack.enter_context(open(os.devnull))
        stack.enter_context(chdir(folder))
        stack.enter_context(mock.patch.dict(os.environ, environment, clear=True))
        stack.enter_context(mock.patch.multiple(sys, stdin=nothing, stdout=streams[0], stderr=streams[1]))
        for number, stream in ((0, nothing), (1, streams[0]), (2, streams[1])):
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(stream.fileno(), number)
        code = run(arguments)
        for stream in streams:
            stream.flush()
            stream.seek(0)
        return subprocess.CompletedProcess(arguments, code, streams[0].read(), streams[1].read())


def matches(expected: list[str], said: str) -> bool:
    lines = list(expected)
    while lines and not lines[-1]:
        lines.pop()
    pattern = "".join(
        r"(?:[^\n]*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", "[^\n]*") + r"\n" for line in lines
    )
    given = "".join(f"{line.rstrip()}\n" for line in said.rstrip().splitlines())
    return re.fullmatch(pattern, given) is not None

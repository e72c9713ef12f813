"""A process that has imported what a `run.py` imports, and becomes replicas of it: a fork takes a few milliseconds.

The launcher starts it like a replica, with the number of a socket in `INTERACTEM_STANDBY`. Each message on the socket
is a JSON document. It says first whether it is `ready`, or why not. Then each request, `{"number", "environment"}` with
the file that is to be the output, makes a replica. That says `{"started": number, "pid"}`, and its standby says
`{"ended": number, "pid", "code"}`, with a negative code for a signal. The end of the socket ends the standby.

`run.py` itself, and what lies beside it, is imported by each replica anew. Linux only.
"""

from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import select
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from interactem.runtime.tether import die_with_parent

STANDBY = "INTERACTEM_STANDBY"
"""The environment variable with the number of the socket."""
MESSAGE_BYTES = 2**17
_OURS = "INTERACTEM_"


def become_replicas(program: Path, number: int) -> None:
    """Returns in every replica, in that one's environment. The standby itself ends in here."""
    with socket.socket(fileno=number) as channel:
        channel.set_inheritable(False)
        parent = os.environ.get("INTERACTEM_PARENT")
        if parent is not None:
            die_with_parent(int(parent))
        wrong = _warm_up(program)
        _tell(channel, {"ready": not wrong, "reason": wrong})
        if wrong:
            sys.exit(0)
        gc.collect()
        gc.freeze()  # a replica that collects garbage must not touch, and so copy, all of this
        _serve(channel)


def imports(source: str, folder: Path) -> Iterator[ast.stmt]:
    """The statements at the head of a program that import what does not lie in its folder.

    What comes after anything else may depend on that, as a library does on environment variables that are set for it.
    """
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            names = [statement.module or ""]
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # the docstring
        else:
            return
        tops = [name.partition(".")[0] for name in names]
        if all(tops) and not any((folder / top).exists() or (folder / f"{top}.py").exists() for top in tops):
            yield statement


def _warm_up(program: Path) -> str:
    """Import what the program does. Returns why replicas cannot be forked from here, if that is so."""
    before = set(os.listdir("/proc/self/fd"))
    try:
        os.close(os.pidfd_open(os.getpid()))
        statements = list(imports(program.read_text(), program.parent)) if program.exists() else []
    except (OSError, SyntaxError, ValueError) as error:
        return str(error)
    for statement in statements:
        # what does not import here fails in each replica as well, which says so where it is read
        with suppress(Exception):
            exec(compile(ast.Module([statement], []), str(program), "exec"), {})
    importlib.invalidate_caches()
    if len(os.listdir("/proc/self/task")) > 1:
        return "what it imports starts threads"
    if not set(os.listdir("/proc/self/fd")) <= before:
        return "what it imports opens files"
    return ""


def _serve(channel: socket.socket) -> None:
    """Make replicas for as long as the launcher is there. Returns in each of them."""
    numbers: dict[int, tuple[int, int]] = {}
    """Of each replica that runs, by a descriptor for its process: its process id, and the number of its request."""
    events = select.poll()
    events.register(channel, select.POLLIN)
    while True:
        for descriptor, _ in events.poll():
            if descriptor != channel.fileno():
                pid, number = numbers.pop(descriptor)
                events.unregister(descriptor)
                os.close(descriptor)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                _tell(channel, {"ended": number, "pid": pid, "code": code})
                continue
            request, files, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 1)
            if not request:
                sys.exit(0)
            asked = json.loads(request)
            standby = os.getpid()
            pid = os.fork()
            if pid == 0:
                for other in numbers:
                    os.close(other)
                _become(files[0], asked["environment"], standby)
                _tell(channel, {"started": asked["number"], "pid": os.getpid()})
                return
            os.close(files[0])
            process = os.pidfd_open(pid)
            numbers[process] = pid, asked["number"]
            events.register(process, select.POLLIN)


def _become(output: int, environment: Mapping[str, str], standby: int) -> None:
    """What the launcher does for a replica that it starts itself."""
    os.setsid()
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    os.environ.update(environment, INTERACTEM_PARENT=str(standby))
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()  # else each replica draws the same numbers; Python's own it seeds itself


def _tell(channel: socket.socket, message: Mapping[str, Any]) -> None:
    try:
        channel.send(json.dumps(message).encode())
    except OSError:  # there is nobody left to work for
        sys.exit(0)

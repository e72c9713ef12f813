"""Operators that wrap a command, made for one test."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

SPEC = {
    "id": "70dd71a7-5ebf-4515-8bf9-941d1284328c",
    "label": "Tool",
    "description": "A test's",
    "image": "tool",
    "inputs": [{"name": "in", "type": "any"}],
    "outputs": [{"name": "out", "type": "any"}],
}


@pytest.fixture
def make(tmp_path):
    """Makes an operator's folder: of a Python program, or of other arguments; `spec` has what else is in its spec."""

    def make(program=None, *, arguments=None, run=None, spec=None, **command):
        folder = tmp_path / "operator"
        folder.mkdir(exist_ok=True)
        if program is not None:
            (folder / "tool.py").write_text(program)
            arguments = ["{{ python }}", "-u", "{{ here }}/tool.py", *(arguments or [])]
        if arguments is not None:
            command["arguments"] = arguments
        (folder / "operator.json").write_text(json.dumps({**SPEC, **(spec or {}), "command": command}))
        if run is not None:
            (folder / "run.py").write_text(run)
        return folder

    return make


def processes(mark):
    """The processes that have this text in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture
def running():
    return processes

"""What is said, before a run starts, of mounts that its containers could not use."""

from __future__ import annotations

import os

import pytest

from interactem.engine.containers.access import remarks
from interactem.engine.containers.arguments import RunsAs
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime.assignment import Assignment

SOMEBODY = RunsAs(65532, 65532, 65532)


def plan(path, *, writable=False):
    names = ("file",) if writable else ()
    frames = PlannedOperator("frames", "reader", "/r", Assignment("r", 0, "frames"), {}, {"file": str(path)}, names)
    return Plan("r", "test", "process", (frames,), {})


@pytest.mark.parametrize(
    ("mode", "writable", "user", "refused"),
    [
        (0o644, False, SOMEBODY, ""),
        (0o640, False, SOMEBODY, "read"),
        (0o600, False, RunsAs(1, 1, os.getuid()), ""),
        (0o640, False, RunsAs(1, os.getgid(), 1), ""),
        (0o644, True, SOMEBODY, "written to"),
        (0o646, True, SOMEBODY, ""),
    ],
)
def test_files(tmp_path, mode, writable, user, refused):
    file = tmp_path / "scan.mib"
    file.touch()
    file.chmod(mode)
    found = remarks(plan(file, writable=writable), user)
    if not refused:
        assert found == []
    else:
        ((operator, text),) = found
        assert operator == "frames"
        assert f"scan.mib cannot be {refused} by user {user.outside}" in text


def test_folders_must_be_entered_too(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    folder.chmod(0o704)
    assert remarks(plan(folder), SOMEBODY)
    folder.chmod(0o705)
    assert remarks(plan(folder), SOMEBODY) == []


def test_what_is_not_there_is_for_others_to_say(tmp_path):
    assert remarks(plan(tmp_path / "none"), SOMEBODY) == []

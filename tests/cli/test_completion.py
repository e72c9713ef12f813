from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).parent / "interactem")


@pytest.fixture
def folder(tmp_path):
    for name in ("center-of-mass", "center-of-light", "deep/er/count"):
        (tmp_path / "operators" / name).mkdir(parents=True)
        (tmp_path / "operators" / name / "operator.json").touch()
    (tmp_path / "cellar").mkdir()
    return tmp_path


def completed(folder: Path, line: str) -> list[str]:
    """What bash offers for the last word of the line."""
    words = line.split(" ")
    environment = os.environ | {
        "_INTERACTEM_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run([PROGRAM], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_commands(folder):
    assert completed(folder, "interactem op") == ["operator"]
    assert "validate" in completed(folder, "interactem pipeline ")


def test_operators_and_folders(folder):
    assert completed(folder, "interactem operator show ce") == ["center-of-light", "center-of-mass", "cellar/"]
    assert completed(folder, "interactem operator test operators/deep/") == ["operators/deep/er/"]
    assert "count" in completed(folder, "interactem operator run ")
    assert completed(folder / "cellar", "interactem operator show cent") == ["center-of-light", "center-of-mass"]
    assert completed(folder, "interactem operator show nowhere/x") == []


def test_the_script_for_a_shell(folder):
    environment = os.environ | {"_INTERACTEM_COMPLETE": "source_bash"}
    done = subprocess.run([PROGRAM], cwd=folder, env=environment, capture_output=True, text=True)
    assert "_INTERACTEM_COMPLETE=complete_bash" in done.stdout

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def inspected(path: Path) -> tuple[int, dict, str]:
    command = [sys.executable, "-m", "interactem.runtime.inspection", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_an_operator_is_described(tmp_path):
    (tmp_path / "run.py").write_text(
        "import os\n"
        "from interactem.runtime import operator\n"
        "print('a greeting'); os.system('echo from a child')\n"
        "def last(context): ...\n"
        "@operator(finish=last, replayable=False)\n"
        "async def reduce(inputs, parameters): yield None\n"
    )
    code, document, errors = inspected(tmp_path)
    assert code == 0
    assert document == {
        "kernel": "reduce",
        "generator": True,
        "coroutine": True,
        "takes": ["inputs", "parameters"],
        "finish": True,
        "replayable": False,
        "one_by_one": True,
        "ordered": False,
    }
    assert "a greeting" in errors
    assert "from a child" in errors


def test_what_does_not_import_shows_its_own_frames(tmp_path):
    (tmp_path / "run.py").write_text("def broken():\n    return 1 / 0\nbroken()\n")
    code, document, _ = inspected(tmp_path / "run.py")
    assert code == 2
    assert document["error"].endswith("ZeroDivisionError: division by zero")
    assert "in broken" in document["error"]
    assert "interactem" not in document["error"].replace(str(tmp_path), "")


def test_a_file_without_an_operator(tmp_path):
    (tmp_path / "run.py").write_text("x = 1\n")
    code, document, _ = inspected(tmp_path)
    assert code == 2
    assert "there is no operator in it; put @operator above" in document["error"]

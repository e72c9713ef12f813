"""The README's commands, run as a new user runs them: in a copy of the repository, in the README's order."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("cli_scripts", ROOT / "tests" / "cli" / "scripts.py")
assert _spec is not None and _spec.loader is not None
scripts = importlib.util.module_from_spec(_spec)
sys.modules["cli_scripts"] = scripts
_spec.loader.exec_module(scripts)

pytestmark = [pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """What a clone would hold, with the changes that are not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    folder = tmp_path_factory.mktemp("clone")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (source := ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return folder


def readme(copy: Path) -> str:
    return (copy / "README.md").read_text()


@pytest.mark.timeout(600)
def test_make_run_from_nothing(copy):
    """`make run` makes its environment, runs the pipeline and says where the picture is."""
    assert "make run" in readme(copy)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("VIRTUAL_ENV", "PYTHON"))}
    done = subprocess.run(
        ["make", "run", f"PYTHON={sys.executable}"],
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (picture,) = re.findall(r"^(.*center-of-mass\.png)$", done.stdout, re.M)
    assert Path(picture).read_bytes().startswith(b"\x89PNG")
    assert "completed" in done.stdout


@pytest.mark.timeout(300)
def test_the_commands_of_the_readme(copy, tmp_path, monkeypatch):
    # an index of runs of its own, for `last`, but the downloads of before
    monkeypatch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    blocks = re.findall(r"^```console\n(.*?)^```", readme(copy), re.M | re.S)
    assert len(blocks) >= 4
    scripts.run_script("".join(blocks), copy, "README.md", progress=True)

"""The tests on docs/testing.md pass, as their reader would run them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"
CONFTEST = f"""
import pytest
from pathlib import Path

@pytest.fixture
def root():
    return Path({str(ROOT)!r})
"""


@pytest.mark.broker
def test_the_pages_tests_pass(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert len(blocks) == 4
    shutil.copytree(ROOT / "operators" / "lookup", tmp_path / "operators" / "lookup")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for number, code in enumerate(blocks):
        folder = tmp_path / "operators" / "lookup" / "tests" if "(operator" in code and not number else tmp_path
        (folder / f"test_page_{number}.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout

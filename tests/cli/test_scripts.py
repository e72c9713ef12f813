from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"

_spec = importlib.util.spec_from_file_location("cli_scripts", HERE / "scripts.py")
scripts = importlib.util.module_from_spec(_spec)
sys.modules["cli_scripts"] = scripts
_spec.loader.exec_module(scripts)


@pytest.mark.parametrize("script", sorted((HERE / "scripts").glob("*.txt")), ids=lambda path: path.stem)
def test_script(script, tmp_path):
    scripts.run_script(script.read_text(), tmp_path, script.name)


def test_the_examples_of_the_documentation(tmp_path):
    blocks = re.findall(r"^```console\n(.*?)^```", (DOCS / "cli.md").read_text(), re.M | re.S)
    assert blocks
    scripts.run_script("".join(blocks), tmp_path, "cli.md", progress=True)


@pytest.mark.parametrize(
    ("expected", "said", "matched"),
    [
        ("a\n...\nz", "a\nb\nc\nz\n", True),
        ("a ... z", "a b z\n", True),
        ("a ... z", "a b\n z\n", False),
        ("a", "a\nb\n", False),
        ("", "a\n", False),
        ("...", "", True),
    ],
)
def test_the_scripts_notice_what_differs(expected, said, matched):
    assert scripts.matches(expected.splitlines(), said) is matched


def test_a_wrong_exit_code_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="exit code 3, expected 0"):
        scripts.run_script("$ exit 3\n", tmp_path, "here")

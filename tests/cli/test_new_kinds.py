"""`operator new --kind`: what it makes of each kind is valid, and its own tests pass."""

from __future__ import annotations

import subprocess
import sys

import pytest

from interactem.cli import creation
from interactem.cli.failures import InvalidError
from interactem.cli.scaffold_kinds import ABOUT, KINDS
from interactem.spec import parse_operator

VARIANTS = {
    "class-source": {"kind": "class", "outputs": ["out:any"], "parameters": ["file:mount", "n:int"]},
    "class-sink": {"kind": "class", "inputs": ["in:any", "second:any"]},
    "sink-with-fallback": {"kind": "sink", "outputs": ["rejected:any"], "parameters": ["mode:str-enum[a|b]"]},
    "side-with-files": {"kind": "side-input", "parameters": ["file:mount", "key:str"]},
    "by-its-ports": {"inputs": ["in:any"]},
    "source-command": {"kind": "command", "outputs": ["out:any"]},
}


def request(directory, name, *, kind=None, inputs=None, outputs=None, parameters=None):
    return creation.complete_request(
        directory, name=name, label=None, description="it's \"quoted\"", inputs=inputs, outputs=outputs,
        parameters=parameters, tags=None, parallel=None, image=None, kind=kind, ask=False,
    )  # fmt: skip


def make(directory, name, **given):
    folder, _ = creation.write_operator(request(directory, name, **given), directory)
    return folder


def test_every_kind_comes_with_tests_that_pass(tmp_path):
    operators = tmp_path / "operators"
    for kind in KINDS:
        make(operators, f"new-{kind}", kind=kind)
    for name, given in VARIANTS.items():
        make(operators, name, **given)
    for folder in operators.iterdir():
        parse_operator((folder / "operator.json").read_bytes(), str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * (len(KINDS) + len(VARIANTS))} passed" in done.stdout


def test_a_fallback_makes_a_sink(tmp_path):
    folder = make(tmp_path, "sink", kind="sink", outputs=["rejected:any"])
    assert parse_operator((folder / "operator.json").read_bytes(), "sink").is_sink


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "source", "inputs": ["in:any"]}, "a source has no inputs: leave out 'in:any'"),
        ({"kind": "side-input", "outputs": ["out:any"]}, "a side-input has no ports: leave out 'out:any'"),
    ],
)
def test_ports_that_a_kind_cannot_have(tmp_path, given, said):
    with pytest.raises(InvalidError, match=said):
        request(tmp_path, "x", **given)


def test_the_kinds_are_explained():
    assert list(ABOUT) == list(KINDS)

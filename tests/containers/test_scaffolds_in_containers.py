"""What `operator new` makes of each kind, baked as it is, works in one pipeline of containers."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path

import pytest

from interactem.cli.scaffold_kinds import KINDS

pytestmark = pytest.mark.containers


def _shared():
    spec = importlib.util.spec_from_file_location("container_runs", Path(__file__).with_name("runs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = _shared()


@pytest.fixture
def project(base_images, tmp_path):
    made = shared.Project(tmp_path, base_images["docker"])
    yield made
    made.close()


def edit(file, before, after):
    """As an author would."""
    text = file.read_text()
    assert before in text, f"{file}\n{text}"
    file.write_text(text.replace(before, after))


def test_an_operator_of_each_kind(project):
    for kind in KINDS:
        project.do("operator", "new", kind, "--kind", kind, "--image", f"{shared.PREFIX}/{kind}")
    folder = project.folder / "operators"
    source = folder / "source" / "run.py"
    edit(source, "EndOfStream, operator", "EndOfStream, MessageHeader, operator")
    header = 'MessageHeader(meta={"name": "a", "time": 40 * number})'
    edit(source, 'data=f"message {number}".encode()', f'{header}, b"message %d\\nand\\nmore" % number')
    edit(folder / "map" / "run.py", "return inputs", 'inputs.meta["seen"] = context.side_inputs["side"]; return inputs')
    spec = json.loads((folder / "map" / "operator.json").read_text())
    spec["side_inputs"] = [{"name": "side", "type": "any"}]
    (folder / "map" / "operator.json").write_text(json.dumps(spec))
    built = project.do("operator", "build", "--engine", project.engine.name)["built"]
    project.images += [f"{shared.PREFIX}/{kind}" for kind in KINDS]
    assert {one["name"] for one in built} == set(KINDS)

    operators = {kind: {"operator": kind} for kind in KINDS} | {"windows": {"operator": "sink"}}
    operators["map"]["side_inputs"] = {"side": "side-input"}
    chain = ["source", "map", "class", "staged", "batch", "command", "stream", "sink"]
    edges = [f"{one}.out -> {next_}.in" for one, next_ in itertools.pairwise(chain)]
    result = project.run(project.pipeline(operators, *edges, "command.out -> reduce.in", "reduce.out -> windows.in"))
    assert result["state"] == "completed"
    outputs = [file.read_bytes() for file in (project.folder / "run" / "outputs").iterdir()]
    lines = [line for number in range(3) for line in (b"message %d" % number, b"and", b"more")]
    assert sorted(outputs) == sorted([*lines, b"2", b"1"])
    assert not project.containers()

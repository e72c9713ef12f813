"""`--path-mapping-rules`: files that were named on another machine are found on this one."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.broker

SCRIPT = "cat $1 > read.txt; echo $2 > path.txt; echo $3 > text.txt"
PLACES = ["{{ data }}/file", "{{ parameters.path }}", "{{ parameters.text|map_path }}"]
SPEC = {
    "id": "b3a1d7ce-15b5-4c0e-a3c8-8c1c61a2a9f0",
    "label": "Reader",
    "description": "Writes what it reads, and where another file lies",
    "image": "localhost/interactem-tests/reader",
    "parameters": [
        {"name": "file", "type": "mount", "required": True},
        {"name": "path", "type": "path"},
        {"name": "text", "type": "str", "default": "C:/Data/y"},
    ],
    "command": {
        "arguments": ["sh", "-c", SCRIPT, "sh", *PLACES],
        "output": "files:*.txt",
    },
}


@pytest.fixture
def mapped(project):
    """A pipeline that names files of a Windows machine, and the rules that say where they are."""
    folder = project.path / "operators" / "reader"
    folder.mkdir()
    (folder / "operator.json").write_text(json.dumps(SPEC))
    place = project.path / "share"
    place.mkdir()
    (place / "Scan.txt").write_text("what was on C:")
    parameters = {"file": "C:\\Data\\Scan.txt", "path": "c:/DATA/other/x"}
    rule = {"source_path_format": "WINDOWS", "source_path": "C:\\data", "destination_path": str(place)}
    file = project.pipeline({"reader": {"operator": "reader", "parameters": parameters}})
    return file, {"path_mapping_rules": [rule]}


def written(project):
    outputs = project.path / "run" / "outputs"
    return {path.name: path.read_text() for path in outputs.iterdir()}


def test_mounts_and_templates_are_mapped(project, mapped):
    file, rules = mapped
    (project.path / "rules.json").write_text(json.dumps(rules))
    done = project.run(file, "--path-mapping-rules", f"file://{project.path}/rules.json")
    assert done.code == 0, done.err
    assert written(project) == {
        "read.txt": "what was on C:",
        "path.txt": f"{project.path}/share/other/x\n",
        "text.txt": f"{project.path}/share/y\n",
    }


def test_without_rules_there_is_no_such_file(project, mapped):
    file, rules = mapped
    done = project.run(file)
    assert done.code == 2
    assert "there is no file or folder C:\\\\Data\\\\Scan.txt" in done.out
    done = project.run(file, "--path-mapping-rules", json.dumps(rules).replace("WINDOWS", "DOS"))
    assert done.code == 2
    assert "--path-mapping-rules: $.path_mapping_rules[0].source_path_format: 'DOS' is not one" in done.out


def test_an_operator_alone_has_them_too(project, mapped):
    _, rules = mapped
    parameters = ("-p", "file=C:\\Data\\Scan.txt", "-p", "path=C:\\Data")
    place = project.path / "run" / "outputs"
    place.mkdir(parents=True)
    done = project.do(
        *("operator", "run", "operators/reader", *parameters),
        *("--outputs", place, "--path-mapping-rules", json.dumps(rules)),
    )
    assert done.code == 0, done.err
    assert written(project) == {
        "read.txt": "what was on C:",
        "path.txt": f"{project.path}/share\n",
        "text.txt": f"{project.path}/share/y\n",
    }


BY_NAME = "def tell(inputs, parameters):\n    path, text = parameters['path'], parameters['text']\n"
AS_A_CLASS = (
    "class Settings(BaseModel):\n    path: str\n    text: str\n"
    "def tell(inputs, parameters: Settings):\n    path, text = parameters.path, parameters.text\n"
)


@pytest.mark.parametrize("kernel", [BY_NAME, AS_A_CLASS], ids=["dict", "class"])
def test_options_of_tasks_have_them_too(project, mapped, kernel):
    _, rules = mapped
    tasks, results = project.path / "tasks.jsonl", project.path / "results.jsonl"
    tasks.write_text(json.dumps({"id": "a", "options": {"path": "C:\\DATA\\a", "text": "C:\\DATA\\a"}}) + "\n")
    folder = project.path / "operators" / "teller"
    folder.mkdir()
    parameters = [{"name": "path", "type": "path"}, {"name": "text", "type": "str"}]
    ports = {"inputs": [{"name": "in", "type": "any"}], "outputs": [{"name": "out", "type": "any"}]}
    about = {name: SPEC[name] for name in ("label", "description", "image")}
    spec = {"id": "b3a1d7ce-15b5-4c0e-a3c8-8c1c61a2a9f2", **about, "parameters": parameters, **ports}
    (folder / "operator.json").write_text(json.dumps(spec))
    (folder / "run.py").write_text(
        "from pydantic import BaseModel\n"
        "from interactem.runtime import BytesMessage, operator\n"
        f"{kernel}"
        "    return BytesMessage(data=f'{path} {text}'.encode())\n"
        "tell = operator(tell)\n"
    )
    files = ("--input", tasks, "--output", results)
    done = project.do("operator", "run", "operators/teller", *files, "--path-mapping-rules", json.dumps(rules))
    assert done.code == 0, done.err
    assert json.loads(results.read_text())["data"] == f"{project.path}/share/a C:\\DATA\\a"

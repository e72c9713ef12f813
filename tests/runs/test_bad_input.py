"""Input that is wrong in any way: it is named, with exit code 2, and nothing was started."""

from __future__ import annotations

import json
import re
import shutil
import socket
import uuid
from pathlib import Path

import pytest

from interactem.cli.main import run

HERE = Path(__file__).parent
NUMBERS = {"operator": "count-up"}
TROUBLE = {"operator": "trouble"}
KEEP = {"operator": "keep"}
FRAMES = [{"name": "in", "label": "In", "type": "frame", "description": "Frames"}]


@pytest.fixture
def place(tmp_path, monkeypatch, surroundings):
    """A project without runs, in which commands are run in this process."""
    shutil.copytree(HERE / "operators", tmp_path / "operators")
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "UV_CACHE_DIR"):
        monkeypatch.setenv(name, surroundings[name])
    return tmp_path


@pytest.fixture
def refused(place, capsys):
    """Runs a pipeline that cannot be run; returns what is said, for people and as JSON."""

    def refuse(pipeline, *arguments, code=2, frames=""):
        file = place / "bad.json"
        file.write_text(pipeline if isinstance(pipeline, str) else json.dumps(pipeline))
        before = sorted(place.rglob("*"))
        assert run(["pipeline", "run", str(file), *arguments]) == code
        said = capsys.readouterr()
        assert said.out == ""
        # of frames, if any, only those of the user's own program
        assert set(re.findall(r'File "(.*?)"', said.err)) == ({frames} if frames else set())
        assert run(["pipeline", "run", str(file), "--json", *arguments]) == code
        document = json.loads(capsys.readouterr().out)
        assert {"error", "problems"} <= document.keys()
        assert sorted(place.rglob("*")) == before, "something was left behind"
        return " ".join([document["error"], *document["problems"]])

    return refuse


def pipeline(operators=None, edges=()):
    edges = [dict(zip(("from", "to"), edge.split(" -> "), strict=True)) for edge in edges]
    return {"name": "bad", "operators": operators or {"numbers": NUMBERS}, "edges": edges}


def with_spec(place, name, **changes):
    """Another operator, like `keep` but for these changes."""
    folder = place / "operators" / name
    shutil.copytree(place / "operators" / "keep", folder)
    spec = json.loads((folder / "operator.json").read_text())
    (folder / "operator.json").write_text(json.dumps({**spec, "id": str(uuid.uuid4()), **changes}))
    return folder


def test_json_that_is_none(refused):
    assert "line 1" in refused("{nonsense")


def test_a_file_that_is_not_there(place, capsys):
    assert run(["pipeline", "run", "nothing.json"]) == 2
    assert "there is no pipeline file nothing.json" in capsys.readouterr().err


def test_an_unknown_key(refused):
    words = refused({**pipeline(), "oprators": {}})
    assert "oprators" in words
    assert "operators" in words


def test_a_misspelt_operator(refused):
    words = refused(pipeline({"numbers": {"operator": "cuont-up"}}))
    assert "cuont-up" in words
    assert "count-up" in words.replace("cuont-up", "")


def test_a_port_that_does_not_exist(refused):
    words = refused(pipeline({"numbers": NUMBERS, "keep": KEEP}, ["numbers.ouput -> keep.in"]))
    assert "ouput" in words


def test_types_that_differ(place, refused):
    with_spec(place, "frames-only", inputs=FRAMES)
    outputs = [{"name": "out", "label": "Out", "type": "number", "description": "Numbers"}]
    with_spec(place, "typed", inputs=None, outputs=outputs)
    words = refused(pipeline({"a": {"operator": "typed"}, "b": {"operator": "frames-only"}}, ["a.out -> b.in"]))
    assert "number" in words
    assert "frame" in words


def test_a_cycle(refused):
    words = refused(pipeline({"a": TROUBLE, "b": TROUBLE}, ["a.out -> b.in", "b.out -> a.in"]))
    assert "cycle" in words


def test_an_input_without_an_edge(refused):
    assert "keep" in refused(pipeline({"numbers": NUMBERS, "keep": KEEP}))


@pytest.mark.parametrize(
    ("value", "words"),
    {
        "numbers.count=many": "count",
        "numbers.cuont=3": "count",
        "nubmers.count=3": "numbers",
        "trouble.mode=nonsense": "segfault",
        "numbers": "operator.parameter=value",
    }.items(),
)
def test_parameters_that_do_not_fit(refused, value, words):
    assert words in refused(
        pipeline({"numbers": NUMBERS, "trouble": TROUBLE}, ["numbers.out -> trouble.in"]), "--set", value
    )


@pytest.mark.parametrize("replicas", ["numbers=2", "numbers=0", "numbers=x", "nobody=2", "numbers"])
def test_replicas_that_do_not_fit(refused, replicas):
    assert replicas.partition("=")[0] in refused(pipeline(), "--replicas", replicas)


def test_a_mount_that_is_not_there(place, refused):
    mount = {"name": "file", "label": "File", "type": "mount", "default": "", "description": "A file", "required": True}
    with_spec(place, "reader", inputs=None, outputs=[], parameters=[mount])
    words = refused(pipeline({"reader": {"operator": "reader", "parameters": {"file": "nowhere.mib"}}}))
    assert "nowhere.mib" in words
    assert "--set reader.file=" in words


def test_a_program_that_does_not_import(place, refused):
    folder = with_spec(place, "broken", inputs=None)
    (folder / "run.py").write_text("import json\n\n\ndef load():\n    return json.nonsense\n\n\nload()\n")
    words = refused(pipeline({"broken": {"operator": "broken"}}), frames=str(folder / "run.py"))
    assert "AttributeError" in words
    assert "return json.nonsense" in words


def test_a_program_without_an_operator(place, refused):
    folder = with_spec(place, "empty", inputs=None)
    (folder / "run.py").write_text("def kernel(inputs):\n    return inputs\n")
    assert "@operator" in refused(pipeline({"empty": {"operator": "empty"}}))


def test_a_program_that_ends_its_process(place, refused):
    folder = with_spec(place, "gone", inputs=None)
    (folder / "run.py").write_text("import os\nos._exit(9)\n")
    assert "its process ended with 9" in refused(pipeline({"gone": {"operator": "gone"}}))


def test_two_folders_with_one_id(place, refused):
    shutil.copytree(place / "operators" / "keep", place / "operators" / "keep-too")
    words = refused(pipeline({"numbers": NUMBERS, "keep": KEEP}, ["numbers.out -> keep.in"]))
    assert "keep-too" in words


def test_everything_is_told_at_once(refused):
    words = refused(
        pipeline({"a": {"operator": "cuont-up"}, "b": KEEP, "c": TROUBLE}, ["a.out -> b.in", "b.x -> c.in"])
    )
    assert "cuont-up" in words
    assert "'b' has no output 'x'" in words


@pytest.mark.broker
def test_a_folder_that_holds_a_run(place, capsys):
    (place / "good.json").write_text(json.dumps(pipeline()))
    (place / "taken").mkdir()
    (place / "taken" / "events.jsonl").touch()
    assert run(["pipeline", "run", "good.json", "--run-dir", "taken"]) == 2
    assert "there is a run in this folder already" in capsys.readouterr().err
    (place / "file").touch()
    assert run(["pipeline", "run", "good.json", "--run-dir", "file"]) == 2
    assert "file" in capsys.readouterr().err
    assert (place / "file").is_file()


@pytest.fixture
def deaf_port():
    """A port at which nobody serves."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.slow
def test_a_broker_that_is_not_there(refused, deaf_port):
    words = refused(pipeline(), "--broker", f"nats://me:secret@127.0.0.1:{deaf_port}", code=1)
    assert f"no broker answers at nats://127.0.0.1:{deaf_port}" in words
    assert "secret" not in words


@pytest.mark.parametrize("command", ["stop", "resume", "logs", "dead ls", "dead show", "dead retry", "set"])
def test_a_run_that_is_not_there(place, capsys, command):
    more = ["a.b=1"] if command == "set" else []
    assert run(["pipeline", *command.split(), "nothing", *more]) == 2
    assert "there is no run 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("--timeout", "0"), ("--timeout", "-1"), ("--launcher", "rocket"), ("--nonsense",)]
)
def test_options_that_do_not_fit(refused, arguments):
    assert arguments[0] in refused(pipeline(), *arguments)

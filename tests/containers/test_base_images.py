"""The base images, in real engines, made without an image registry."""

from __future__ import annotations

import json

import pytest

from interactem.engine.images.builders import Build
from interactem.engine.images.commands import Commands
from interactem.engine.images.rights import USER
from interactem.engine.images.trees import settle
from interactem.engine.locks import locked_versions

pytestmark = pytest.mark.containers

OPERATOR = "ghcr.io/nersc/interactem/operator"
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")
MEGABYTE = 1_000_000


def config(engine, image):
    return json.loads(engine.command("image", "inspect", image).stdout)[0]["Config"]


@pytest.mark.parametrize("name", ["operator", "distiller-streaming"])
def test_full_and_bare_names_mean_the_same_image(engine, name):
    said = engine.command("image", "inspect", "--format", "{{.Id}}", name, f"ghcr.io/nersc/interactem/{name}")
    first, second = said.stdout.split()
    assert first == second


def test_it_runs_the_operator_as_somebody_without_rights(engine):
    made = config(engine, OPERATOR)
    assert made["User"] == f"{USER}:{USER}"
    assert made["WorkingDir"] == "/app"
    assert made["Entrypoint"] == ["python", "-u", "-m", "interactem.runtime", "/app/run.py"]
    assert engine.run(OPERATOR, "id", "-u") == str(USER)
    done = engine.command("run", "--rm", OPERATOR)
    assert done.returncode == 2, "without settings it says which are missing"
    assert "INTERACTEM_RUN is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_is_small(engine):
    added = engine.sizes["operator"] - engine.sizes["python"]
    assert 0 < added <= 110 * MEGABYTE, f"operator has {added / MEGABYTE:.0f} MB over python"
    assert engine.sizes["distiller-streaming"] - engine.sizes["operator"] < MEGABYTE


IMPORTS = """
import getpass, json, os, pathlib, sys
import interactem.runtime.__main__, numpy, pydantic, interactem.spec
pathlib.Path.home().joinpath("written").write_text("x")
cached = {name: getattr(module.__spec__, "cached", None) for name, module in list(sys.modules.items())
          if getattr(module, "__spec__", None)}
absent = [name for name, path in cached.items() if path and not os.path.exists(path)]
print(json.dumps([os.getuid(), os.getgid(), getpass.getuser(), str(pathlib.Path.home()), numpy.__version__, absent]))
"""


@pytest.mark.parametrize("user", [f"{USER}:{USER}", "12345:54321", "0:0"])
def test_anybody_can_run_it_on_a_root_that_is_read_only(engine, user):
    said = engine.run(OPERATOR, "python", "-W", "error", "-c", IMPORTS, flags=(*HARDENED, "--user", user))
    uid, gid, name, home, numpy, not_compiled = json.loads(said)
    assert f"{uid}:{gid}" == user
    assert name
    assert home == "/tmp"
    assert numpy == locked_versions()["numpy"], "the same as in process mode"
    assert not_compiled == [], "each start would compile them"


NUMPY = """
import numpy, numpy.fft, numpy.linalg, numpy.ma, numpy.polynomial, numpy.random, numpy.testing, numpy.typing
a = numpy.random.default_rng(1).normal(size=(64, 64))
numpy.testing.assert_allclose(numpy.linalg.inv(a) @ a, numpy.eye(64), atol=1e-9)
numpy.testing.assert_allclose(numpy.fft.ifft2(numpy.fft.fft2(a)).real, a)
print(numpy.linalg.svd(a)[1].shape, numpy.get_include())
"""


def test_numpy_is_whole(engine):
    assert engine.run(OPERATOR, "python", "-W", "error", "-c", NUMPY).startswith("(64,) /opt/interactem/lib/")
    assert engine.run(OPERATOR, "pip", "check") == "No broken requirements found."
    listed = json.loads(engine.run(OPERATOR, "pip", "list", "--format", "json"))
    found = {each["name"].lower().replace("_", "-"): each["version"] for each in listed}
    assert found.items() >= locked_versions().items()
    assert "typer" not in found
    assert "docker" not in found


def test_the_library_is_on_top(engine):
    said = engine.run("distiller-streaming", "python", "-c", "import distiller_streaming as d; print(d.BatchedFrames)")
    assert "BatchedFrames" in said


@pytest.mark.parametrize("image", ["ghcr.io/nersc/interactem/python", OPERATOR])
@pytest.mark.parametrize("program", ["python", "python3", "pip"])
def test_both_names_of_python_and_pip_are_there(engine, image, program):
    assert engine.run(image, program, "--version").lower().startswith(("python 3.", "pip "))


def test_content_of_the_same_size_is_told_apart(engine, tmp_path):
    """Docker takes a file for another one by the name of the folder that it builds from, its size and its time."""
    tag = f"localhost/interactem-test-{tmp_path.name.replace('_', '-')}"
    for text in ("one", "two"):
        context, scratch = tmp_path / text / "context", tmp_path / text / "scratch"
        scratch.mkdir(parents=True)
        context.mkdir()
        (context / "Containerfile").write_text(f"FROM {OPERATOR}\nCOPY said /app/said\n")
        (context / "said").write_text(text)
        settle(context)
        order = Build(context, context / "Containerfile", [f"{tag}:{text}"], scratch, "test-of-contents")
        done = Commands().run(engine.builder.build_command(order), engine.builder.build_environment(order))
        assert done.ok, "\n".join(done.lines)
    said = [engine.run(f"{tag}:{text}", "cat", "/app/said") for text in ("one", "two")]
    engine.command("image", "rm", "--force", f"{tag}:one", f"{tag}:two")
    assert said == ["one", "two"]

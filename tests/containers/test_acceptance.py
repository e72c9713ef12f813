"""What the README says of containers, and the whole way from nothing to a result, as a new user goes it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]
BAKE = ("--build-base", "--push-local", "--pull-local", "--offline")


def _scripts():
    spec = importlib.util.spec_from_file_location("cli_scripts", ROOT / "tests" / "cli" / "scripts.py")
    module = sys.modules.setdefault("cli_scripts", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def copy(tmp_path_factory, base_images):
    """What a clone would hold, with the changes that are not committed yet, on a machine with both engines."""
    assert {base_images[name].name for name in ("docker", "podman")} == {"docker", "podman"}
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


def environment():
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def command(copy, *words):
    done = subprocess.run(words, cwd=copy, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_from_nothing_to_the_same_result_in_every_mode(copy):
    """Baked with what builds by default, pushed, pulled into podman; then the main pipeline, bit for bit."""
    command(copy, "./bake", *BAKE)
    maps = {}
    for launcher in ("process", "podman", "docker"):
        run = ("interactem", "pipeline", "run", "pipelines/center-of-mass.json", "--run-dir", f"runs/{launcher}")
        result = json.loads(command(copy, *run, "--launcher", launcher, "--json"))
        assert result["state"] == "completed"
        assert result["operators"]["partial"]["replicas"] == 2
        maps[launcher] = (copy / "runs" / launcher / "outputs" / "center-of-mass.npy").read_bytes()
        if launcher != "process":
            plan = json.loads((copy / "runs" / launcher / "plan.json").read_text())
            assert {image["id"][:7] for image in plan["images"].values()} == {"sha256:"}
    assert maps["podman"] == maps["docker"] == maps["process"]


PUBLISHED = {
    "source": {"operator": "published-source", "parameters": {"offsets.emd": "offsets"}},
    "filter": {"operator": "published-filter"},
    "display": {"operator": "published-display"},
}
PUBLISHED_EDGES = [{"from": "source.out", "to": "filter.in"}, {"from": "filter.out", "to": "display.in"}]


@pytest.mark.parametrize("launcher", ["podman", "docker"])
def test_published_folders_are_dropped_in_built_and_run(copy, launcher):
    """Spec, two-line Containerfile and `run.py` as interactEM's operators have them; nothing else is done for them."""
    names = [operator["operator"] for operator in PUBLISHED.values()]
    for name in names:
        shutil.copytree(ROOT / "tests" / "runs" / "operators" / name, copy / "operators" / name, dirs_exist_ok=True)
        assert (
            len([line for line in (copy / "operators" / name / "Containerfile").read_text().split("\n") if line]) == 2
        )
    (copy / "offsets").write_text("one\n\ntwo\nthree\nfour")
    value = {"name": "published", "operators": PUBLISHED, "edges": PUBLISHED_EDGES}
    (copy / "published.json").write_text(json.dumps(value))
    command(copy, "./bake", "--engine", launcher, "--offline", *names)
    folder = copy / "runs" / f"published-{launcher}"
    run = ("interactem", "pipeline", "run", "published.json", "--launcher", launcher, "--run-dir", str(folder))
    log = folder / "logs" / "display.0.log"
    running = subprocess.Popen(
        run, cwd=copy, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        until = time.monotonic() + 300
        while not log.exists() or "shown 4" not in log.read_text():
            assert running.poll() is None and time.monotonic() < until, running.stderr.read()
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)  # these sources have no end
        assert running.wait(120) == 130
    finally:
        running.kill()
        running.communicate()
    assert "shut down" in log.read_text()


def test_what_the_readme_says_of_containers(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (block,) = re.findall(r"^```console containers\n(.*?)^```", (copy / "README.md").read_text(), re.M | re.S)
    _scripts().run_script(block, copy, "README.md", progress=True)

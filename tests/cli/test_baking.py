"""`operator build`, `push`, `pull` and `./bake`: what is asked and what is said, without engines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from interactem.cli.baking import move
from interactem.cli.baking_screen import BakeScreen, print_outcomes, short, sized
from interactem.cli.failures import InvalidError
from interactem.cli.main import run
from interactem.engine.images.outcomes import Outcome
from interactem.engine.images.projects import Project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the operators `shout` and `whisper`, which builds on it, and `prebuilt`; no engine is there."""
    files = {"shout": "FROM scratch\nCOPY run.py /\n", "whisper": "FROM ghcr.io/you/shout\n", "prebuilt": None}
    for name, containerfile in files.items():
        folder = tmp_path / "project" / "operators" / name
        folder.mkdir(parents=True)
        spec = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
            "image": f"ghcr.io/you/{name}",
            "label": name,
            "description": "",
        }
        (folder / "operator.json").write_text(json.dumps(spec))
        if containerfile is not None:
            (folder / "run.py").touch()
            (folder / "Containerfile").write_text(containerfile)
    (tmp_path / "programs").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def podman(project, tmp_path):
    """Makes a podman, which has images with these specs, for operators by name, and builds nothing."""

    def podman(**specs):
        listed = [
            {"Id": name * 8, "Names": [f"ghcr.io/you/{name}:latest"], "Labels": labels, "Size": 2_000_000}
            for name, labels in specs.items()
        ]
        (tmp_path / "list.json").write_text(json.dumps(listed) + "\n")
        script = tmp_path / "programs" / "podman"
        script.write_text(f'#!/bin/sh\nwhile read -r line; do echo "$line"; done < {tmp_path}/list.json\n')
        script.chmod(0o755)

    podman()
    return podman


def said(capsys, *arguments, code=0):
    assert run(["operator", *arguments]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build", "shuot"], "there is no operator 'shuot': did you mean 'shout'?"),
        (["build", "--target", "shuot"], "did you mean 'shout'?"),
        (["push", "nothing-like-it"], "known operators: prebuilt, shout, whisper"),
        (["build", "--registry", "ghcr.io/you"], "add --push-remote"),
        (["push", "--registry", "Not A Registry"], "is no registry: write HOST, or HOST/PATH"),
        (["build", "--ca-bundle", "nowhere.pem"], "--ca-bundle: there is no file nowhere.pem"),
        (["build", "--ca-bundle", "operators/shout/run.py"], "(--ca-bundle) holds no certificate in PEM form"),
        (["build", "--bild-base"], "No such option: --bild-base"),
        (["build", "--engine", "dokcer"], "'dokcer'"),
        (["build", "--target"], "--target"),
    ],
)
def test_wrong_usage(project, capsys, arguments, words):
    told = said(capsys, *arguments, code=2)
    assert words in " ".join(told.split())


def test_an_option_that_is_nearly_right_is_suggested(project, capsys):
    assert "--build-base" in said(capsys, "build", "--build-bsae", code=2)


def test_no_operators(project, capsys):
    shutil.rmtree(project / "operators")
    (project / "operators").mkdir()
    assert "there are no operators below" in said(capsys, "build", code=2)


@pytest.mark.parametrize("action", ["build", "push"])
def test_no_engine(project, capsys, action):
    told = said(capsys, action, code=1)
    assert "no container engine can build: there is no docker on this machine; there is no podman" in told
    assert "sudo apt-get install podman" in told and "docs.docker.com" in told


def test_no_podman_to_pull_into(project, capsys):
    assert "there is no podman on this machine" in said(capsys, "pull", code=1)


def test_invalid_folders_are_told_before_anything_is_done(project, capsys):
    (project / "operators" / "shout" / "Containerfile").write_text("RUN true\n")
    (project / "operators" / "whisper" / "Containerfile").unlink()
    (project / "operators" / "whisper" / "run.py").touch()
    told = said(capsys, "build", code=2)
    assert "there are 2 problems" in told
    assert "it has no FROM" in told and "it has a run.py and no Containerfile" in told


@pytest.mark.parametrize("option", ["--push-local", "--pull-local"])
def test_no_registry(podman, capsys, monkeypatch, option):
    monkeypatch.setattr("interactem.cli.baking.LOCAL_REGISTRY", "127.0.0.1:1")
    monkeypatch.setattr("interactem.engine.images.registry.LOCAL_REGISTRY", "127.0.0.1:1")
    told = said(capsys, "build", option, code=1)
    assert "127.0.0.1:1: no registry answers" in told
    assert "docker run -d -p 5001:5000 --restart always --name docker-registry registry:3" in told


def test_what_would_be_done(podman, capsys):
    lines = said(capsys, "build", "--dry-run", "--push-local", "--pull-local").splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["build", "shout", "ghcr.io/you/shout"],
        ["build", "whisper", "ghcr.io/you/whisper"],
        ["leave", "prebuilt", "ghcr.io/you/prebuilt"],
    ]
    assert lines[4].split() == ["push", "shout", "localhost:5001/ghcr.io/you/shout:latest"]
    assert lines[6].split() == ["pull", "shout", "localhost:5001/ghcr.io/you/shout:latest", "as", "ghcr.io/you/shout"]


def test_what_would_be_done_as_json(podman, capsys):
    steps = json.loads(
        said(capsys, "build", "--dry-run", "--json", "--target", "whisper", "--push-remote", "--registry", "site.org")
    )
    assert [(step["what"], step["name"], step["image"]) for step in steps] == [
        ("build", "shout", "ghcr.io/you/shout"),
        ("build", "whisper", "ghcr.io/you/whisper"),
        ("push", "whisper", "site.org/you/whisper:latest"),
    ]


def test_pulling_alone_builds_nothing(podman, capsys):
    steps = json.loads(said(capsys, "build", "--pull-local", "--dry-run", "--json"))
    assert {step["what"] for step in steps} == {"pull"}
    assert steps == json.loads(said(capsys, "pull", "--dry-run", "--json"))


def test_an_image_of_no_registry_cannot_be_pushed_to_it(podman, project, capsys):
    spec = project / "operators" / "shout" / "operator.json"
    spec.write_text(spec.read_text().replace("ghcr.io/you/", "localhost/"))
    assert "names no registry; say which: --registry" in said(capsys, "push", "shout", "--remote", "--dry-run", code=2)


def test_operators_in_images(podman, project, capsys):
    assert "No image has an operator in it" in (run(["operator", "ls", "--images"]), capsys.readouterr().err)[1]
    spec = (project / "operators" / "shout" / "operator.json").read_text()
    podman(shout={"interactem.operator.spec": spec})
    title, row = said(capsys, "ls", "--images").splitlines()
    assert title.split() == ["image", "engine", "inputs", "outputs", "label", "size", "id"]
    assert row.split()[:5] == ["ghcr.io/you/shout:latest", "podman", "-", "-", "shout"]
    (value,) = json.loads(said(capsys, "ls", "--images", "--json"))
    assert value["image"] == "ghcr.io/you/shout:latest" and value["spec"]["label"] == "shout"


def test_an_image_whose_label_does_not_hold(podman, project, capsys):
    spec = (project / "operators" / "shout" / "operator.json").read_text()
    podman(good={"interactem.operator.spec": spec}, bad={"interactem.operator.spec": '{"id": 1}'})
    assert run(["operator", "ls", "--images", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [image["image"] for image in told["images"]] == ["ghcr.io/you/good:latest"]
    assert told["problems"][0].startswith("ghcr.io/you/bad:latest (label interactem.operator.spec): $")


def test_what_fails_is_told_in_the_summary(capsys):
    good = Outcome("good", "ghcr.io/you/good", "operator", "built", 1.25, "sha256:" + "a" * 64, size=12_345_678)
    bad = Outcome("bad", "ghcr.io/you/bad", "operator", "failed", 0.5, reason="2/2 RUN false\n    it says [this]")
    print_outcomes({"built": [good, bad]}, 2.0)
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == ["good", "built", "1.2", "s", "12.3", "MB", "sha256:aaaaaaaaaaaa", good.image]
    assert out.splitlines()[-1] == "1 built, 1 failed in 2.0 s"
    assert err == "bad failed: 2/2 RUN false\n    it says [this]\n"


def test_plain_lines_tell_each_step_once(capsys):
    screen = BakeScreen(quiet=False)
    screen.begin("building")
    with screen.showing():
        for step in ("", "1/2 FROM x", "2/2 COPY a b"):
            screen.observe("a", "building", step)
        screen.observe("a", "built", "")
    screen.end([Outcome("a", "a", "operator", "built", 1.0)])
    told = ["building", "a: building", "a: 1/2 FROM x", "a: 2/2 COPY a b", "a: built in 1.0 s"]
    assert capsys.readouterr().out.splitlines() == told


def test_sizes_and_digests():
    assert (sized(1_234_567_890), short("sha256:" + "b" * 64), short("")) == ("1,234.6 MB", "sha256:" + "b" * 12, "")


def bake(*arguments, folder=ROOT, environment=None):
    command = [str(folder / "bake"), *arguments]
    return subprocess.run(command, env={**os.environ, **(environment or {})}, capture_output=True, text=True)


def test_bake_is_short_for_operator_build(tmp_path):
    assert (ROOT / "bake").readlink() == Path("bake.sh")
    recorder = tmp_path / "interactem"
    recorder.write_text('#!/bin/sh\necho "$PWD: $*"\n')
    recorder.chmod(0o755)
    for name in ("bake", "bake.sh", "pull_images_from_bake.py"):
        shutil.copy(ROOT / name, tmp_path / name, follow_symlinks=False)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for arguments, command in (
        (["--push-local"], "build --push-local"),
        ([], "build"),
        (["push", "a b"], "push a b"),
        (["--target", "x"], "build --target x"),
    ):
        assert bake(*arguments, folder=tmp_path, environment=path).stdout == f"{tmp_path}: operator {command}\n"
    pull = [sys.executable, str(tmp_path / "pull_images_from_bake.py"), "--dry-run"]
    done = subprocess.run(pull, env={**os.environ, **path}, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path}: operator pull --dry-run\n"


def test_bake_without_an_installation_installs(tmp_path):
    for name in ("bake", "bake.sh"):
        shutil.copy(ROOT / name, tmp_path / name, follow_symlinks=False)
    install = 'mkdir -p .venv/bin; printf "#!/bin/sh\\necho ours: \\$$*\\n" > .venv/bin/interactem'
    (tmp_path / "Makefile").write_text(f".venv/installed:\n\t{install}; chmod +x .venv/bin/interactem\n")
    done = bake("--dry-run", folder=tmp_path, environment={"PATH": "/usr/bin:/bin"})
    assert (done.returncode, done.stdout) == (0, "ours: operator build --dry-run\n"), done.stderr


def test_where_an_image_moves_to(podman, project):
    (target,) = Project.open(project).select(["shout"]).targets
    assert move(target, None, mirrored=True).remote == "localhost:5001/ghcr.io/you/shout:latest"
    assert move(target, None, mirrored=False).remote == "ghcr.io/you/shout:latest"
    assert move(target, "ghcr.io/me", mirrored=False).remote == "ghcr.io/me/shout:latest"
    with pytest.raises(InvalidError):
        move(replace(target, images=("shout",)), None, mirrored=False)

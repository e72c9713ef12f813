"""A site with certificates of its own and a package index with a password, in real engines."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import uuid
from pathlib import Path

import pytest

from interactem.engine.images.baking import Bakery
from interactem.engine.images.base_sources import FOLDER, find_bases
from interactem.engine.images.bases import Site, lay_out
from interactem.engine.images.builders import Build
from interactem.engine.images.commands import Commands
from interactem.engine.images.projects import Project

pytestmark = pytest.mark.containers

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("site_with_index", Path(__file__).with_name("sites.py"))
sites = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(sites)


@pytest.fixture
def image(engine):
    """A name for an image that is gone after the test."""
    name = f"localhost/interactem-test-{uuid.uuid4().hex[:8]}"
    yield name
    engine.command("image", "rm", "--force", name)


def test_the_certificates_of_the_site_are_trusted(engine, image, tmp_path):
    engine.run("operator", "sh", "-c", sites.AUTHORITY, flags=("--user", "0:0", "--volume", f"{tmp_path}:/site"))
    build(engine, image, tmp_path, Site(offline=True, authorities=tmp_path / "ca.pem"))
    fetch = "import sys, urllib.request as u; print(u.urlopen(u.Request(sys.argv[1])).status)"
    with sites.index(tmp_path / "index.pem") as address:
        bare = address.replace(f"{sites.USER}:{sites.PASSWORD}@", "")
        refused = engine.attempt("operator", "python", "-c", fetch, bare)
        assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
        answered = engine.attempt(image, "python", "-c", fetch, bare)
        assert "HTTP Error 401" in answered.stderr, "it is trusted, and asks for a password"
        assert len(engine.run(image, "ls", "/usr/local/share/ca-certificates").split()) == 1
        assert "Successfully downloaded tiny" in engine.run(image, "pip", "download", "--index-url", address, "tiny")


def build(engine, image, tmp_path, site):
    """The base image `python` for a site."""
    context = tmp_path / "context"
    python = next(base for base in find_bases(ROOT / FOLDER) if base.name == "python")
    lay_out(python, context, site)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    order = Build(context, context / "Containerfile", [image], scratch, "test-of-certificates")
    done = Commands().run(engine.builder.build_command(order), engine.builder.build_environment(order))
    assert done.ok, "\n".join(done.lines)


CONTAINERFILE = """FROM ghcr.io/nersc/interactem/operator
RUN pip install tiny && mkdir /output
RUN poetry add tiny
COPY ./run.py /app/run.py
RUN python -c 'import tiny'
"""


def test_a_password_of_the_package_index_reaches_the_build_and_stays_nowhere(engine, image, tmp_path, monkeypatch):
    folder = tmp_path / "operators" / "private"
    folder.mkdir(parents=True)
    spec = {"id": str(uuid.uuid4()), "label": "Private", "description": "Needs a private package", "image": image}
    (folder / "operator.json").write_text(json.dumps(spec))
    (folder / "run.py").write_text("")
    (folder / "Containerfile").write_text(CONTAINERFILE)
    with sites.index() as address:
        monkeypatch.setenv("PIP_INDEX_URL", address)
        selection = Project.open(tmp_path).select()
        outcomes = Bakery(selection.plan, engine.builder, selection.asked).bake()
    assert [outcome.state for outcome in outcomes] == ["built"], outcomes
    assert engine.run(image, "python", "-c", "import os, tiny; print(tiny.value, os.getuid())") == "42 65532"
    assert engine.run(image, "ls", "-d", "/output") == "/output"
    told = engine.command("history", "--no-trunc", image).stdout + engine.command("image", "inspect", image).stdout
    assert "pip install tiny" in told
    assert sites.PASSWORD not in told
    assert count_in_layers(engine, image, "value = 42") > 0, "layers are read as they are"
    assert count_in_layers(engine, image, sites.PASSWORD) == 0


def count_in_layers(engine, image, text):
    with subprocess.Popen([engine.name, "save", image], stdout=subprocess.PIPE) as saved:
        found = subprocess.run(["grep", "--text", "--count", text], stdin=saved.stdout, capture_output=True, text=True)
    return int(found.stdout)

"""What base images are made from. That they can be made is tested with real engines."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import certifi
import pytest

from interactem.engine.images import bases, offline
from interactem.engine.images.base_sources import FOLDER, find_bases
from interactem.engine.images.bases import Site, inputs, lay_out
from interactem.engine.images.debian import FILES_TIME
from interactem.engine.images.errors import BaseImageError
from interactem.engine.locks import locked_versions
from interactem.engine.wheels import OwnPackage, replica_package

ROOT = Path(__file__).parents[2]
EMPTY_SITE = Site()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of our base images, on a machine that names no certificates."""
    monkeypatch.setattr(bases, "_authorities", lambda site: "")
    copy = tmp_path / FOLDER
    shutil.copytree(ROOT / FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def base(folder, name):
    return next(each for each in find_bases(folder) if each.name == name)


def test_the_base_images_and_their_names():
    assert {each.name: each.images for each in find_bases(ROOT / FOLDER)} == {
        "python": ("ghcr.io/nersc/interactem/python",),
        "operator": ("ghcr.io/nersc/interactem/operator", "operator", "interactem/operator"),
        "distiller-streaming": (
            "ghcr.io/nersc/interactem/distiller-streaming",
            "distiller-streaming",
            "interactem/distiller-streaming",
        ),
    }


def test_a_folder_with_a_containerfile_is_a_base_image(folder):
    (folder / "tomography").mkdir()
    (folder / "notes").mkdir()
    (folder / "tomography" / "Containerfile").write_text("FROM operator\n")
    names = [each.name for each in find_bases(folder)]
    assert "tomography" in names
    assert "notes" not in names


def test_what_goes_in_decides(folder, monkeypatch):
    python, operator = base(folder, "python"), base(folder, "operator")
    before = inputs(python, EMPTY_SITE), inputs(operator, EMPTY_SITE)
    assert before == (inputs(python, EMPTY_SITE), inputs(operator, EMPTY_SITE))
    assert inputs(python, replace(EMPTY_SITE, offline=True)) != before[0]
    monkeypatch.setattr(bases, "_authorities", lambda site: "another")
    assert inputs(python, EMPTY_SITE) != before[0]
    assert inputs(operator, EMPTY_SITE) == before[1]
    monkeypatch.setattr(bases, "lock_fingerprint", lambda: "another")
    assert inputs(operator, EMPTY_SITE) != before[1]
    (folder / "python" / "trust.py").write_text("")
    (folder / "distiller-streaming" / "distiller_streaming" / "new.py").write_text("")
    assert inputs(base(folder, "distiller-streaming"), EMPTY_SITE)["folder"] != "", "what is new is read"


def test_a_changed_file_is_seen(folder):
    for each in find_bases(folder):
        before = inputs(each, EMPTY_SITE)
        (each.folder / "new.py").write_text("x = 1\n")
        assert inputs(each, EMPTY_SITE) != before


def test_our_own_code_is_seen(folder, monkeypatch):
    operator = base(folder, "operator")
    before = inputs(operator, EMPTY_SITE)
    package = replica_package()
    changed = OwnPackage(package.file_name, package.files | {"interactem/runtime/new.py": b""})
    monkeypatch.setattr(bases, "replica_package", lambda: changed)
    assert inputs(operator, EMPTY_SITE)["runtime"] != before["runtime"]


def test_to_find_that_nothing_has_changed_is_cheap():
    """It is part of each bake: all of it together, the certificates of this machine too."""
    site = Site(offline=True)
    found = find_bases(ROOT / FOLDER)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        for each in found:
            inputs(each, site)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2


def test_python_comes_from_its_registry(folder, tmp_path):
    context = tmp_path / "context"
    lay_out(base(folder, "python"), context, EMPTY_SITE)
    assert "FROM python:3.12-slim-bookworm\n" in (context / "Containerfile").read_text()
    assert sorted(path.name for path in context.iterdir()) == ["Containerfile", "ca-bundle.pem", "trust.py"]


def test_offline_python_comes_from_debian(folder, tmp_path, monkeypatch):
    archive = tmp_path / "made.tar"
    archive.write_bytes(b"a root file system")
    monkeypatch.setattr(offline, "root_archive", lambda progress, commands: archive)
    context = tmp_path / "context"
    lay_out(base(folder, "python"), context, replace(EMPTY_SITE, offline=True))
    assert (context / "root.tar").read_bytes() == b"a root file system"
    text = (context / "Containerfile").read_text()
    assert "FROM scratch\n" in text
    assert "python:" not in text
    assert not (context / "Containerfile.offline").exists()


def test_the_certificates_that_are_named_go_in(tmp_path):
    context = tmp_path / "context"
    site = Site(authorities=Path(certifi.where()))
    lay_out(base(ROOT / FOLDER, "python"), context, site)
    text = (context / "ca-bundle.pem").read_text()
    assert text.count("BEGIN CERTIFICATE") == Path(certifi.where()).read_text().count("BEGIN CERTIFICATE")
    with pytest.raises(BaseImageError, match=r"nowhere \(--ca-bundle\)"):
        inputs(base(ROOT / FOLDER, "python"), Site(authorities=tmp_path / "nowhere"))


def test_both_pythons_trust_alike():
    texts = [(ROOT / FOLDER / "python" / name).read_text() for name in (bases.CONTAINERFILE, bases.OFFLINE)]
    online, without = [text[text.index("COPY trust.py") :] for text in texts]
    assert without.startswith(online.rstrip())


@pytest.mark.parametrize(("is_offline", "python"), [(False, "3.12"), (True, "3.11")])
def test_an_operator_gets_the_lock_and_our_code_for_its_python(tmp_path, is_offline, python):
    context = tmp_path / "context"
    lay_out(base(ROOT / FOLDER, "operator"), context, Site(offline=is_offline))
    dependencies = context / "dependencies" / "lib" / f"python{python}" / "site-packages"
    found = {path.name.removesuffix(".dist-info").replace("_", "-") for path in dependencies.glob("*.dist-info")}
    assert found == {f"{name}-{version}" for name, version in locked_versions().items()}
    version = python.replace(".", "")
    assert list(dependencies.glob(f"numpy/_core/_multiarray_umath.cpython-{version}-*-linux-gnu.so"))
    runtime = context / "runtime" / "lib" / f"python{python}" / "site-packages"
    assert (runtime / "interactem/runtime/__main__.py").read_bytes()
    assert (runtime / "interactem/spec/__init__.py").is_file()
    assert not (runtime / "interactem/engine").exists()
    assert not (runtime / "interactem/cli").exists()


def test_a_library_is_installed_without_a_trace_of_this_machine(tmp_path):
    context = tmp_path / "context"
    lay_out(base(ROOT / FOLDER, "distiller-streaming"), context, Site(offline=True))
    packages = context / "library/lib/python3.11/site-packages"
    assert (packages / "distiller_streaming/__init__.py").is_file()
    files = [path for path in (context / "library").rglob("*") if path.is_file()]
    assert not [path for path in files if str(ROOT).encode() in path.read_bytes()]
    assert all(path.stat().st_mtime <= FILES_TIME for path in files), "times come from contents"
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
    assert {path.name for path in packages.iterdir()} == {"distiller_streaming", "distiller_streaming-0.1.0.dist-info"}


def test_a_library_that_cannot_be_built_is_said(tmp_path, folder):
    library = folder / "distiller-streaming"
    (library / "pyproject.toml").write_text("[project]\nname = 1\n")
    with pytest.raises(BaseImageError, match="cannot be installed") as caught:
        lay_out(base(folder, "distiller-streaming"), tmp_path / "context", Site(offline=True))
    assert "invalid type: integer" in " ".join(caught.value.output)
    assert caught.value.advice.startswith(f"correct {library}, or check")


def test_a_package_index_that_does_not_answer_is_said(tmp_path, monkeypatch):
    for name in ("UV_INDEX", "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    for name, value in (("UV_CACHE_DIR", str(tmp_path / "cache")), ("UV_HTTP_RETRIES", "0")):
        monkeypatch.setenv(name, value)
    with pytest.raises(BaseImageError, match=r"127\.0\.0\.1(.|\n)*check the network"):
        lay_out(base(ROOT / FOLDER, "operator"), tmp_path / "context", EMPTY_SITE)


def test_a_containerfile_that_names_no_python_is_said(folder, tmp_path):
    (folder / "python" / "Containerfile").write_text("FROM alpine\n")
    with pytest.raises(BaseImageError, match="python/Containerfile does not say which Python it is"):
        lay_out(base(folder, "operator"), tmp_path / "context", EMPTY_SITE)

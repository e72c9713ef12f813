"""The base images: what stands in `base-images/`, and what each is built from."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from interactem.engine.errors import BaseImageError
from interactem.engine.images import offline as debian
from interactem.engine.images.authorities import read_authorities
from interactem.engine.images.trees import install_library, install_locked, settle, unpack
from interactem.engine.indexes import pip_files, read_pip_configuration
from interactem.engine.locks import LOCK, lock_fingerprint
from interactem.engine.requirements import hash_folder
from interactem.engine.wheels import replica_package

FOLDER = "base-images"
REGISTRY = "ghcr.io/nersc/interactem"

CONTAINERFILE = "Containerfile"
OFFLINE = "Containerfile.offline"
"""Stands in for the Containerfile where no image registry can be reached."""

Progress = Callable[[str], None]

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.I | re.M)
_PYTHON = re.compile(r"^\s*FROM\s+\S*\bpython:(\d+\.\d+)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class BaseSource:
    """A folder of `base-images/`. Operators' Containerfiles name its image by any of `images`, the full name first."""

    name: str
    folder: Path
    images: tuple[str, ...]


def find_bases(folder: Path) -> tuple[BaseSource, ...]:
    """The base images in a `base-images/` folder, each after the one that it is built on."""
    found = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONTAINERFILE}"))}
    sources = {name: BaseSource(name, path, _images(name)) for name, path in found.items()}
    owners = {image: name for name, source in sources.items() for image in source.images}
    on = {
        name: {owners[each] for each in _stands_on(path / CONTAINERFILE) if each in owners}
        for name, path in found.items()
    }
    try:
        return tuple(sources[name] for name in TopologicalSorter(on).static_order())
    except CycleError as error:
        reason = f"{folder}: base images stand on one another in a circle: {' -> '.join(error.args[1])}"
        raise BaseImageError(reason, f"correct the FROM lines of their {CONTAINERFILE}s") from None


def lay_out(
    base: BaseSource,
    context: Path,
    *,
    offline: bool = False,
    ca_bundle: Path | None = None,
    progress: Progress = lambda text: None,
) -> None:
    """Fill an empty folder with all that the image is built from, its Containerfile too.

    Raises `BaseImageError` where something of it is missing or cannot be made.
    """
    shutil.copytree(base.folder, context, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    if offline and (context / OFFLINE).exists():
        os.replace(context / OFFLINE, context / CONTAINERFILE)
    (context / OFFLINE).unlink(missing_ok=True)
    fill = _FILL.get(base.name, _fill_library)
    fill(base, context, offline=offline, ca_bundle=ca_bundle, progress=progress)


def inputs(base: BaseSource, *, offline: bool = False, ca_bundle: Path | None = None) -> dict[str, str]:
    """What the image is made from, by names: equal where building it again would give the same image.

    What it stands on is not in it. Cheap: nothing is built, installed or downloaded. Raises `BaseImageError` as
    `lay_out` does.
    """
    parts = {"folder": hash_folder(base.folder), "offline": str(offline)}
    if base.name == "python":
        parts["authorities"] = _digest(_authorities(ca_bundle))
        if offline:
            parts["root"] = debian.root_key()
    elif base.name == "operator":
        parts["lock"] = lock_fingerprint()
        parts["runtime"] = replica_package().fingerprint()
    return parts


def _images(name: str) -> tuple[str, ...]:
    full = f"{REGISTRY}/{name}"
    # a bare `python` would stand for the official image in whatever else is built on this machine
    return (full,) if name == "python" else (full, name)


def _stands_on(containerfile: Path) -> list[str]:
    return [name.removesuffix(":latest") for name in _FROM.findall(containerfile.read_text(encoding="utf-8"))]


def _fill_python(base: BaseSource, context: Path, *, offline: bool, ca_bundle: Path | None, progress: Progress) -> None:
    (context / "ca-bundle.pem").write_text(_authorities(ca_bundle), encoding="utf-8")
    settle(context)
    if offline:
        archive = debian.root_archive(progress)
        try:
            os.link(archive, context / "root.tar")
        except OSError:  # the context is on another file system
            shutil.copyfile(archive, context / "root.tar")


def _fill_operator(
    base: BaseSource, context: Path, *, offline: bool, ca_bundle: Path | None, progress: Progress
) -> None:
    python = _python_version(base, offline)
    install_locked(LOCK, _packages(context / "dependencies", python), python)
    unpack(replica_package(), _packages(context / "runtime", python))
    settle(context)


def _fill_library(
    base: BaseSource, context: Path, *, offline: bool, ca_bundle: Path | None, progress: Progress
) -> None:
    if (base.folder / "pyproject.toml").exists():
        python = _python_version(base, offline)
        install_library(base.folder, _packages(context / "library", python), python)
    settle(context)


_FILL = {"python": _fill_python, "operator": _fill_operator}


def _packages(environment: Path, python: str) -> Path:
    """Where a virtual environment keeps its packages."""
    return environment / "lib" / f"python{python}" / "site-packages"


def _python_version(base: BaseSource, offline: bool) -> str:
    if offline:
        return debian.PYTHON
    containerfile = base.folder.parent / "python" / CONTAINERFILE
    found = _PYTHON.search(containerfile.read_text(encoding="utf-8"))
    if found is None:
        raise BaseImageError(f"{containerfile} does not say which Python it is", "begin it with FROM python:3.12-…")
    return found[1]


def _authorities(given: Path | None) -> str:
    return read_authorities(given, os.environ, read_pip_configuration(pip_files(os.environ)))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

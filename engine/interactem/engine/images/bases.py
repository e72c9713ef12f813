"""What each base image is built from."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from interactem.engine.images import offline as debian
from interactem.engine.images.authorities import read_authorities
from interactem.engine.images.base_sources import CONTAINERFILE, OFFLINE, OPERATOR, PYTHON, BaseSource
from interactem.engine.images.commands import Commands
from interactem.engine.images.errors import BaseImageError
from interactem.engine.images.trees import install_library, install_locked, settle, unpack
from interactem.engine.indexes import pip_files, read_pip_configuration
from interactem.engine.locks import LOCK, lock_fingerprint
from interactem.engine.requirements import hash_folder
from interactem.engine.wheels import replica_package

_FROM_PYTHON = re.compile(r"^\s*FROM\s+\S*\bpython:(\d+\.\d+)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Site:
    """How the base images are made here. `authorities` names a file with certificates; None for those of pip.

    `progress` is told, in words, what takes long; `commands` runs it, so that it can be ended.
    """

    offline: bool = False
    authorities: Path | None = None
    progress: Callable[[str], None] = lambda text: None
    commands: Commands = field(default_factory=Commands)


def lay_out(base: BaseSource, context: Path, site: Site) -> None:
    """Fill an empty folder with all that the image is built from, its Containerfile too.

    Raises `BaseImageError` where something of it is missing or cannot be made.
    """
    shutil.copytree(base.folder, context, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    if site.offline and (context / OFFLINE).exists():
        os.replace(context / OFFLINE, context / CONTAINERFILE)
    (context / OFFLINE).unlink(missing_ok=True)
    if base.name == PYTHON:
        _fill_python(context, site)
    elif base.name == OPERATOR:
        _fill_operator(context, _python_version(base, site))
    elif (base.folder / "pyproject.toml").exists():
        python = _python_version(base, site)
        install_library(base.folder, _packages(context / "library", python), python)
    settle(context)


def inputs(base: BaseSource, site: Site) -> dict[str, str]:
    """What the image is made from, by names: equal where building it again would give the same image.

    What it stands on is not in it. Cheap: nothing is built, installed or downloaded. Raises `BaseImageError` where
    the certificates cannot be used.
    """
    parts = {"folder": hash_folder(base.folder), "offline": str(site.offline)}
    if base.name == PYTHON:
        parts["authorities"] = hashlib.blake2b(_authorities(site).encode(), digest_size=16).hexdigest()
        if site.offline:
            parts["root"] = debian.root_key()
    elif base.name == OPERATOR:
        parts["lock"] = lock_fingerprint()
        parts["runtime"] = replica_package().fingerprint()
    return parts


def _fill_python(context: Path, site: Site) -> None:
    (context / "ca-bundle.pem").write_text(_authorities(site), encoding="utf-8")
    if site.offline:
        shutil.copyfile(debian.root_archive(site.progress, site.commands), context / "root.tar")


def _fill_operator(context: Path, python: str) -> None:
    install_locked(LOCK, _packages(context / "dependencies", python), python)
    unpack(replica_package(), _packages(context / "runtime", python))


def _packages(environment: Path, python: str) -> Path:
    """Where a virtual environment keeps its packages."""
    return environment / "lib" / f"python{python}" / "site-packages"


def _python_version(base: BaseSource, site: Site) -> str:
    if site.offline:
        return debian.PYTHON
    containerfile = base.folder.parent / PYTHON / CONTAINERFILE
    found = _FROM_PYTHON.search(containerfile.read_text(encoding="utf-8"))
    if found is None:
        raise BaseImageError(f"{containerfile} does not say which Python it is", "begin it with FROM python:3.12-…")
    return found[1]


def _authorities(site: Site) -> str:
    return read_authorities(site.authorities, os.environ, read_pip_configuration(pip_files(os.environ)))

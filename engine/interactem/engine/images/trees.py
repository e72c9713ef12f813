"""Packages as the files that an image gets of them: installed here, copied there.

Nothing is downloaded while an image is built. So the package indexes of this machine, its cache and its credentials
serve, and none of them can get into an image.
"""

from __future__ import annotations

import csv
import hashlib
import os
import platform
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from interactem.engine.environments import uv_program
from interactem.engine.images.debian import FILES_TIME
from interactem.engine.images.errors import BaseImageError
from interactem.engine.indexes import current_uv_environment
from interactem.engine.wheels import OwnPackage

# what uv notes about where a package came from on this machine
_OF_THIS_MACHINE = ("direct_url.json", "uv_build.json", "uv_cache.json", "REQUESTED")

_INDEX = "check the network, HTTPS_PROXY, and the package index (UV_DEFAULT_INDEX or pip's configuration)"


def install_locked(lock: Path, target: Path, python: str) -> None:
    """All that the lock names, for this version of Python on Linux."""
    _install(["--require-hashes", "--no-deps", "-r", str(lock)], target, python, _INDEX)


def install_library(folder: Path, target: Path, python: str) -> None:
    """The package whose source lies in the folder, without its dependencies."""
    # uv knows a folder that it built before by its pyproject.toml alone
    _install(["--no-deps", "--reinstall", str(folder)], target, python, f"correct {folder}, or {_INDEX}")


def unpack(package: OwnPackage, target: Path) -> None:
    with ZipFile(BytesIO(package.wheel())) as archive:
        archive.extractall(target)
    settle(target)


def settle(folder: Path) -> None:
    """Give all files rights and times that depend on nothing but them, so that the same contents make the same layer.

    Each file's time is made from its content: BuildKit takes a file for one that it has seen, in another build from a
    folder of the same name even, by its size and its time alone.
    """
    for root, folders, files in os.walk(folder):
        for name in files:
            path = Path(root, name)
            path.chmod(0o755 if os.access(path, os.X_OK) and path.parent.name == "bin" else 0o644)
            _set_time(path, FILES_TIME - _number_of(path))
        for name in folders:
            Path(root, name).chmod(0o755)
            _set_time(Path(root, name), FILES_TIME)
    _set_time(folder, FILES_TIME)


def _set_time(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


def _number_of(path: Path) -> int:
    """One of the seconds of 17 years, the same for the same content."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").digest()
    return int.from_bytes(digest[:4]) % 2**29


def _install(what: list[str], target: Path, python: str, advice: str) -> None:
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())
    command = [str(uv_program()), "pip", "install", "--quiet", "--target", str(target), "--link-mode", "copy"]
    command += ["--python-version", python, "--python-platform", f"{machine}-unknown-linux-gnu", *what]
    done = subprocess.run(
        command, env=current_uv_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.splitlines()[-15:]
        raise BaseImageError("packages for the base images cannot be installed", advice, said)
    _forget_this_machine(target)
    settle(target)


def _forget_this_machine(target: Path) -> None:
    shutil.rmtree(target / "bin", ignore_errors=True)  # the first line of what is in it names this machine's Python
    (target / ".lock").unlink(missing_ok=True)
    for info in target.glob("*.dist-info"):
        for name in _OF_THIS_MACHINE:
            (info / name).unlink(missing_ok=True)
        record = info / "RECORD"
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if (target / next(csv.reader([line]))[0]).exists()]
        record.write_text("".join(kept), encoding="utf-8")

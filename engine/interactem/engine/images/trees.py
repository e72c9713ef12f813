"""Packages as the files that an image gets of them: installed here, copied there.

Nothing is downloaded while an image is built. So the package indexes of this machine, its cache and its credentials
serve, and none of them can get into an image.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from interactem.engine.environments import uv_program
from interactem.engine.errors import BaseImageError
from interactem.engine.images.debian import FILES_TIME
from interactem.engine.indexes import current_uv_environment
from interactem.engine.wheels import OwnPackage

# what uv notes about where a package came from on this machine
_OF_THIS_MACHINE = ("direct_url.json", "uv_cache.json", "REQUESTED")


def install_locked(lock: Path, target: Path, python: str) -> None:
    """All that the lock names, for this version of Python on Linux."""
    _install(["--require-hashes", "--no-deps", "-r", str(lock)], target, python)


def install_library(folder: Path, target: Path, python: str) -> None:
    """The package whose source lies in the folder, without its dependencies."""
    # uv knows a folder that it built before by its pyproject.toml alone
    _install(["--no-deps", "--reinstall", str(folder)], target, python)


def unpack(package: OwnPackage, target: Path) -> None:
    with ZipFile(BytesIO(package.wheel())) as archive:
        archive.extractall(target)
    settle(target)


def settle(folder: Path) -> None:
    """Give all files the same times and rights, so that the same contents make the same layer."""
    for root, folders, files in os.walk(folder):
        for name in files:
            path = Path(root, name)
            path.chmod(0o755 if os.access(path, os.X_OK) and path.parent.name == "bin" else 0o644)
            os.utime(path, (FILES_TIME, FILES_TIME))
        for name in folders:
            Path(root, name).chmod(0o755)
            os.utime(Path(root, name), (FILES_TIME, FILES_TIME))
    os.utime(folder, (FILES_TIME, FILES_TIME))


def _install(what: list[str], target: Path, python: str) -> None:
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())
    command = [str(uv_program()), "pip", "install", "--quiet", "--target", str(target), "--link-mode", "copy"]
    command += ["--python-version", python, "--python-platform", f"{machine}-unknown-linux-gnu", *what]
    done = subprocess.run(
        command, env=current_uv_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = "\n".join(f"    {line}" for line in done.stderr.splitlines()[-15:])
        raise BaseImageError(f"packages for the base images cannot be installed\n{said}", "check the package index")
    shutil.rmtree(target / "bin", ignore_errors=True)  # their first line names this machine's Python
    for name in _OF_THIS_MACHINE:
        for path in target.glob(f"*.dist-info/{name}"):
            path.unlink()
    (target / ".lock").unlink(missing_ok=True)
    settle(target)

"""A root file system with Python from Debian's packages: what `python` stands on where no image registry is reached.

It is made once with debootstrap and kept in our cache. Packages come from the mirror that this machine's apt uses.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path

from interactem.engine.environments import cache_folder
from interactem.engine.errors import BaseImageError

SUITE = "bookworm"
PYTHON = "3.11"
"""The Python that the suite has."""
PACKAGES = ("ca-certificates", "python3", "python3-pip")

LAYOUT = 1
"""Part of the key: root file systems made in another way than now are not used."""

MIRROR = "http://mirror.invalid/debian"
PROGRAM = "debootstrap"

_LEFT_OUT = (
    "boot/*",
    "debootstrap*",
    "dev/*",
    "etc/*-",
    "etc/hostname",
    "etc/resolv.conf",
    "proc/*",
    "run/*",
    "sys/*",
    "tmp/*",
    "usr/lib/python3*/EXTERNALLY-MANAGED",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/*/*",
    "var/lib/apt/lists/*",
    "var/lib/dpkg/*-old",
    "var/log/*",
)
_KEPT = ("var/cache/apt/archives", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial")
FILES_TIME = 1_577_836_800
"""2020: the time of files that we make, so that the same contents give the same bytes."""
_BYTES_NEEDED = 1 << 30

Progress = Callable[[str], None]


def root_key() -> str:
    """A name for what goes into the root file system. All mirrors have the same packages."""
    parts = json.dumps([LAYOUT, SUITE, PACKAGES, os.uname().machine, _LEFT_OUT])
    return hashlib.blake2b(parts.encode(), digest_size=10).hexdigest()


def root_archive(progress: Progress, *, cache: Path | None = None) -> Path:
    """The root file system as a tar file, made if it is not there. Takes about a minute the first time.

    Raises `BaseImageError` where debootstrap is missing or fails, or may not be used.
    """
    folder = (cache or cache_folder()) / "roots"
    archive = folder / f"{SUITE}-{root_key()}.tar"
    if not archive.is_file():
        _make(archive, debian_mirror(), progress)
    return archive


def debian_mirror() -> str:
    """The mirror that this machine's apt has the suite from; Debian's own where it has it from none."""
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT) $(CREATED_BY)"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    except FileNotFoundError:
        return MIRROR
    return mirror_among(done.stdout.splitlines())


def mirror_among(targets: Iterable[str]) -> str:
    for target in targets:
        site, _, rest = target.partition(" ")
        if rest == f"{SUITE} main Packages" and site.startswith(("http://", "https://", "file:")):
            return site.rstrip("/")
    return MIRROR


def _make(archive: Path, mirror: str, progress: Progress) -> None:
    program = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise BaseImageError(
            "--offline makes the base images from Debian's packages, and debootstrap, which does that, is missing",
            "install it: sudo apt-get install debootstrap (on Fedora: sudo dnf install debootstrap debian-keyring)",
        )
    if os.geteuid() != 0:
        raise BaseImageError("debootstrap needs the rights of root", "run this once with sudo -E")
    archive.parent.mkdir(parents=True, exist_ok=True)
    packages = archive.parent / "packages"
    packages.mkdir(exist_ok=True)
    with ExitStack() as stack:
        started = time.time()
        place = stack.enter_context(tempfile.TemporaryDirectory(dir=_working_place(archive.parent), prefix="root-"))
        root = Path(place) / "root"
        progress(f"making a root file system from Debian's packages of {mirror}")
        _run(
            [
                program,
                "--variant=minbase",
                f"--cache-dir={packages}",
                f"--include={','.join(PACKAGES)}",
                SUITE,
                str(root),
                mirror,
            ],
            progress,
        )
        _finish(root)
        partial = archive.with_suffix(f".{os.getpid()}")
        stack.callback(partial.unlink, missing_ok=True)
        _pack(root, partial, newest=started)
        os.replace(partial, archive)


def _working_place(otherwise: Path) -> Path:
    """Memory where there is enough of it: dpkg waits for the disk at each file."""
    shared = Path("/dev/shm")
    if shared.is_dir():
        place = os.statvfs(shared)
        unfit = place.f_flag & (os.ST_NOEXEC | os.ST_NODEV)
        if not unfit and place.f_bavail * place.f_frsize > _BYTES_NEEDED:
            return shared
    return otherwise


def _run(command: list[str], progress: Progress) -> None:
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_surroundings(os.environ),
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if line.startswith("I: Installing core") or line.startswith("I: Unpacking the base"):
                progress(line.removeprefix("I: ").rstrip().rstrip("."))
    if process.returncode:
        said = [line for line in lines if not line.startswith("I: ")][-10:] or lines[-10:]
        raise BaseImageError(
            "debootstrap failed\n" + "\n".join(f"    {line}" for line in said),
            "check that the mirror can be reached: it is the one of this machine's apt",
        )


def _surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """debootstrap downloads with wget, which does not read apt's configuration."""
    result = dict(environment) | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    for scheme in ("http", "https"):
        proxy = _apt_setting(f"Acquire::{scheme}::Proxy")
        if proxy and proxy != "DIRECT":
            result.setdefault(f"{scheme}_proxy", proxy)
    return result


def _apt_setting(name: str) -> str:
    try:
        command = ["apt-config", "shell", "value", name]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
    return said.partition("'")[2].rpartition("'")[0]


def _finish(root: Path) -> None:
    """What Debian's Python lacks to serve as the official image's does."""
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")


def _pack(root: Path, archive: Path, *, newest: float) -> None:
    """Files of packages keep their time, which the bytecode beside Python's modules goes by."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(_contents(root)):
            name = str(path.relative_to(root))
            if name not in _KEPT and _left_out(name):
                continue
            entry = tar.gettarinfo(str(path), name)
            entry.mtime = FILES_TIME if entry.mtime >= newest else int(entry.mtime)
            entry.uname = entry.gname = ""
            if entry.isreg():
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry)


def _contents(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield Path(folder, name)


def _left_out(name: str) -> bool:
    if name.startswith("usr/share/doc/"):
        return name.count("/") > 3 and not name.endswith("/copyright")
    return any(fnmatch(name, pattern) for pattern in _LEFT_OUT)

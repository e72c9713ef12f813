"""A root file system with Python from Debian's packages: what `python` stands on where no image registry is reached.

It is made once, by `debian.py` with debootstrap, and kept in our cache. Packages come from where this machine's apt
has them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from interactem.engine.environments import cache_folder
from interactem.engine.images import debian
from interactem.engine.images.commands import Commands, Finished
from interactem.engine.images.errors import BaseImageError
from interactem.engine.tether import tethered

SUITE = "bookworm"
PYTHON = "3.11"
"""The Python that the suite has."""
PACKAGES = ("ca-certificates", "python3", "python3-pip")

LAYOUT = 3
"""Part of the key: root file systems made in another way than now are not used."""

MIRROR = "INTERACTEM_DEBIAN_MIRROR"
"""The variable that names a mirror of Debian's packages where this machine's apt has none."""
RELEASES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Progress = Callable[[str], None]


def root_key() -> str:
    """A name for what goes into the root file system. All mirrors have the same packages."""
    parts = json.dumps([LAYOUT, SUITE, PACKAGES, os.uname().machine, debian.LEFT_OUT])
    return hashlib.blake2b(parts.encode(), digest_size=10).hexdigest()


def root_archive(progress: Progress, commands: Commands, *, cache: Path | None = None) -> Path:
    """The root file system as a tar file, made if it is not there. Takes about a minute the first time.

    Raises `BaseImageError` where debootstrap is missing or fails, or may not be used.
    """
    folder = (cache or cache_folder()) / "roots"
    archive = folder / f"{SUITE}-{root_key()}.tar"
    if archive.is_file():
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock", progress):
        if not archive.is_file():
            _make(archive, progress, commands)
            for other in set(folder.glob(f"{SUITE}-*.tar")) - {archive}:
                other.unlink()
    return archive


def _make(archive: Path, progress: Progress, commands: Commands) -> None:
    prefix = namespaces(os.geteuid(), search_path=_search_path(os.environ))
    sources = apt_sources(_apt_targets(), os.environ.get(MIRROR, ""))
    partial = archive.with_suffix(".partial")
    packages = archive.parent / "packages"
    packages.mkdir(exist_ok=True)
    order = debian.Order(
        archive=str(partial),
        place=str(archive.parent / "making"),
        packages=str(packages),
        suite=SUITE,
        mirror=sources[0].split()[1],
        include=PACKAGES,
        sources=sources,
        private=bool(prefix),
    )
    progress(f"making a root file system from the packages of {debian.without_password(order.mirror)}")
    command = tethered([*prefix, sys.executable, "-I", "-S", debian.__file__, order.to_json()])
    try:
        done = commands.run(command, _surroundings(os.environ), lambda line: _tell(line, progress))
        if not done.ok:
            raise _failure(done)
        os.replace(partial, archive)
    finally:
        partial.unlink(missing_ok=True)


def namespaces(user: int, *, search_path: str) -> list[str]:
    """What debootstrap is started with: mounts of its own, and for people without rights, users of their own.

    Its processes are a namespace too, so that all of them end with the first.

    Raises `BaseImageError` where debootstrap is missing, or could not do its work.
    """
    if shutil.which("debootstrap", path=search_path) is None:
        raise BaseImageError(
            "--offline makes the base images from Debian's packages, and debootstrap, which does that, is missing",
            "install it: sudo apt-get install debootstrap (on Fedora: sudo dnf install debootstrap debian-keyring)",
        )
    prefix = [shutil.which("unshare", path=search_path) or "unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if user != 0:
        prefix += ["--user", "--map-auto", "--map-root-user"]
    if _works([*prefix, "true"]):
        return prefix
    if user != 0:
        reason = "debootstrap has to change the owners of files, which you may not do, nor in a user namespace of yours"
        advice = "run this once as root, with sudo -E; or get subordinate ids: sudo usermod --add-subuids 100000-165535"
        raise BaseImageError(reason, f"{advice} --add-subgids 100000-165535 $USER")
    return []


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def apt_sources(targets: Iterable[str], mirror: str = "") -> tuple[str, ...]:
    """Lines for apt's list of sources, that of the suite first, in the words of this machine's own where it has them.

    `targets` are lines of site, release, component and kind. `mirror` is taken where none of them is of Debian. Raises
    `BaseImageError` where there is none of both.
    """
    sites: dict[str, str] = {}
    for target in targets:
        site, _, rest = target.partition(" ")
        release = rest.partition(" ")[0]
        if site.rstrip("/").endswith("/debian") and not mirror:
            mirror = site  # another release's mirror has this one too
        if rest == f"{release} main Packages" and release in RELEASES and site.startswith(("http://", "https://")):
            sites.setdefault(release, site.rstrip("/"))
    if SUITE not in sites:
        if not mirror:
            reason = "apt has no Debian packages on this machine, and nothing else says where they are"
            raise BaseImageError(reason, f"name a mirror: {MIRROR}=http://…/debian")
        place = mirror.rstrip("/")
        sites = {release: f"{place}-security" if release.endswith("-security") else place for release in RELEASES}
    return tuple(f"deb {sites[release]} {release} main" for release in RELEASES if release in sites)


def _apt_targets() -> list[str]:
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT) $(CREATED_BY)"]
    with suppress(FileNotFoundError):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return done.stdout.splitlines()
    return []


def _surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """What debootstrap needs of the environment: it downloads with wget, which does not read apt's configuration."""
    added = {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    if os.geteuid() != 0:
        added["container"] = "lxc"  # where devices cannot be made, it takes those that are there
    for scheme in ("http", "https"):
        proxy = _apt_setting(f"Acquire::{scheme}::Proxy")
        if proxy and proxy != "DIRECT" and f"{scheme}_proxy" not in environment:
            added[f"{scheme}_proxy"] = proxy
    return added | {"PATH": _search_path(environment)}


def _search_path(environment: Mapping[str, str]) -> str:
    return f"{environment.get('PATH', '')}:{_SYSTEM_PATH}"


def _apt_setting(name: str) -> str:
    with suppress(FileNotFoundError):
        command = ["apt-config", "shell", "value", name]
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
        return said.partition("'")[2].rpartition("'")[0]
    return ""


_TOLD = (
    "Retrieving InRelease",
    "Unpacking the base",
    "Unpacking required",
    "Configuring required",
    "taking",
    "the mirror",
)


def _tell(line: str, progress: Progress) -> None:
    text = line.removeprefix("I: ").rstrip(". ")
    if line.startswith("I: ") and text.startswith(_TOLD):
        progress(text)


def _failure(done: Finished) -> BaseImageError:
    lines = [debian.without_password(line) for line in done.lines if line.strip()]
    said = [line for line in lines if not line.startswith("I: ")][-10:] or lines[-10:]
    advice = "check that the mirror can be reached: it is the one of this machine's apt"
    return BaseImageError("the root file system cannot be made", advice, said)


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock while the root file system is made. It goes with its process."""
    with path.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that makes the root file system")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

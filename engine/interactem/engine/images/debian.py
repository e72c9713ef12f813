"""Makes a root file system with Python from Debian's packages, as a tar file.

A program of its own, `python debian.py ORDER`, because it may have to run in namespaces of its own. ORDER is JSON, see
`Order`. It says on its output what it does. Standard library only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

FILES_TIME = 1_577_836_800
"""2020: the time of files that are made here, so that the same contents give the same bytes."""

MEMORY_NEEDED = 2 << 30

LEFT_OUT = (
    "boot/*",
    "debootstrap*",
    "dev/*",
    "etc/*-",
    "etc/*.dpkg-old",
    "etc/hostname",
    "etc/resolv.conf",
    "proc/*",
    "run/*",
    "sys/*",
    "tmp/*",
    "usr/lib/python3*/EXTERNALLY-MANAGED",  # pip would refuse to install anything
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/*/*",
    "var/lib/apt/lists/*",
    "var/lib/dpkg/*-old",
    "var/log/*",
)
_KEPT = ("var/cache/apt/archives", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial")


@dataclass(frozen=True)
class Order:
    """What to make. `place` is a folder that is made, used and removed; `packages` keeps what was downloaded.
    `sources` are the lines of apt's list, from which what came later than the release is taken. `private` says that we
    have mounts of our own, which nobody else sees and which end with us.
    """

    archive: str
    place: str
    packages: str
    suite: str
    mirror: str
    include: tuple[str, ...]
    sources: tuple[str, ...]
    private: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main(order: Order) -> int:
    place = Path(order.place)
    shutil.rmtree(place, ignore_errors=True)  # of one that was killed
    place.mkdir(parents=True)
    if order.private and _available_memory() > MEMORY_NEEDED:
        # dpkg waits for the disk at each file; where this mount is refused, that is how it is
        _quietly("mount", "-t", "tmpfs", "-o", "mode=755", "interactem", str(place))
    try:
        return _make(order, place / "root")
    finally:
        if order.private:
            _quietly("umount", "--recursive", str(place))
        shutil.rmtree(place, ignore_errors=True)


def _make(order: Order, root: Path) -> int:
    started = time.time() - 1  # files are given the time of the last tick
    include, cache = f"--include={','.join(order.include)}", f"--cache-dir={order.packages}"
    if code := _run("debootstrap", "--variant=minbase", cache, include, order.suite, str(root), order.mirror):
        return code
    if order.private:
        _give_devices(root)
    if code := _update(root, order.sources):
        return code
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
    _pack(root, Path(order.archive), started)
    return 0


def _give_devices(root: Path) -> None:
    """Lend it this machine's devices where it could not have any of its own, as for users without rights."""
    for name in ("null", "zero", "random", "urandom"):
        device = root / "dev" / name
        if not _is_device(device):
            device.parent.mkdir(exist_ok=True)
            device.touch()
            _quietly("mount", "--bind", f"/dev/{name}", str(device))


def _is_device(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return stat.S_ISCHR(os.fstat(file.fileno()).st_mode)
    except OSError:
        return False


def _available_memory() -> int:
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return int(found[1]) * 1024 if found else 0


def _update(root: Path, sources: tuple[str, ...]) -> int:
    """Take what came after the release, such as corrections of security, as far as the mirror has it."""
    lists = root / "etc/apt/sources.list"
    lists.write_text("".join(f"{line}\n" for line in sources))
    apt = ("chroot", str(root), "apt-get", "--quiet", "-o", "Acquire::Languages=none", *_trusted_authorities(root))
    _say("taking what came after the release")
    if _run(*apt, "update", "--error-on=any"):
        _say("the mirror has nothing that came after the release; security updates are missing")
        code = 0
    else:
        code = _run(*apt, "upgrade", "--assume-yes", "-o", "Dpkg::Options::=--force-unsafe-io")
    lists.write_text("".join(f"{without_password(line)}\n" for line in sources))
    return code


def _trusted_authorities(root: Path) -> tuple[str, ...]:
    """For a mirror whose certificate only this machine trusts yet."""
    here = Path("/etc/ssl/certs/ca-certificates.crt")
    if not here.is_file():
        return ()
    (root / "tmp").mkdir(exist_ok=True)
    shutil.copyfile(here, root / "tmp/authorities.pem")
    return ("-o", "Acquire::https::CaInfo=/tmp/authorities.pem")


def without_password(text: str) -> str:
    """The text with the addresses in it without users and passwords."""
    return re.sub(r"//[^/@\s]+@", "//", text)


def _run(*command: str) -> int:
    return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False).returncode


def _quietly(*command: str) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _say(text: str) -> None:
    sys.stdout.write(f"I: {text}\n")
    sys.stdout.flush()


def _pack(root: Path, archive: Path, started: float) -> None:
    """Files of packages keep their time, which the bytecode beside Python's modules goes by."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(_contents(root)):
            name = str(path.relative_to(root))
            if name not in _KEPT and left_out(name):
                continue
            entry = tar.gettarinfo(str(path), name)
            entry.mtime = FILES_TIME if entry.mtime >= started else int(entry.mtime)
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


def left_out(name: str) -> bool:
    """Whether a file of the root file system stays out of the archive: what only people would read, and leftovers."""
    if name.startswith("usr/share/doc/"):
        return name.count("/") > 3 and not name.endswith("/copyright")
    return any(fnmatch(name, pattern) for pattern in LEFT_OUT)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    lists = {"include": tuple(given["include"]), "sources": tuple(given["sources"])}
    sys.exit(main(Order(**{**given, **lists})))

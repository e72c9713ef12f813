"""The root file system of Debian's packages, with a debootstrap of our own: nothing comes over the network."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from interactem.engine.images import offline
from interactem.engine.images.commands import Cancelled, Commands
from interactem.engine.images.debian import FILES_TIME, left_out
from interactem.engine.images.errors import BaseImageError
from interactem.engine.images.offline import apt_sources, namespaces, root_archive, root_key

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Debian's packages are put together on Linux")

DEBOOTSTRAP = """#!/bin/sh
while case $1 in --*) ;; *) false;; esac; do shift; done
root=$2
echo "$root $3" >> LOG
mkdir -p $root/usr/local/bin $root/usr/lib/python3.11 $root/etc/apt $root/usr/share/man $root/dev $root/var/log
echo 1 > $root/usr/lib/python3.11/os.py
touch -d @1700000000 $root/usr/lib/python3.11/os.py
touch $root/usr/lib/python3.11/EXTERNALLY-MANAGED $root/usr/share/man/sh.1 $root/etc/hostname $root/var/log/dpkg.log
ln -s os.py $root/usr/lib/python3.11/link.py
MORE
"""
SITE = "http://mirror.site/debian"
UNSHARE = '#!/bin/sh\nwhile case $1 in --*) ;; *) false;; esac; do shift; done\nexec "$@"\n'
CHROOT = '#!/bin/sh\necho "$@" >> LOG.chroot\nMORE\n'


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with programs that do next to nothing; what they are told is in `log`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def install(name, text, more=""):
        (programs / name).write_text(text.replace("LOG", str(tmp_path / "log")).replace("MORE", more))
        (programs / name).chmod(0o755)

    install("debootstrap", DEBOOTSTRAP)
    install("chroot", CHROOT)
    install("unshare", UNSHARE)
    install("mount", '#!/bin/sh\necho "$@" >> LOG.mounts\n')
    install("umount", '#!/bin/sh\necho "umount $@" >> LOG.mounts\n')
    install("apt-get", f"#!/bin/sh\necho '{SITE} bookworm main Packages'\n")
    monkeypatch.delenv(offline.MIRROR, raising=False)
    install("apt-config", "#!/bin/sh\n")
    return install


def make(tmp_path, told=None):
    return root_archive((told if told is not None else []).append, Commands(), cache=tmp_path / "cache")


def test_it_is_made_once(tmp_path, machine):
    told = []
    archive = make(tmp_path, told)
    assert told[0] == f"making a root file system from the packages of {SITE}"
    assert "taking what came after the release" in told
    assert make(tmp_path) == archive
    assert (tmp_path / "log").read_text() == f"{tmp_path}/cache/roots/making/root {SITE}\n"
    assert sorted(path.name for path in archive.parent.iterdir()) == sorted([archive.name, "lock", "packages"])


def test_what_is_in_it(tmp_path, machine):
    with tarfile.open(make(tmp_path)) as tar:
        entries = {entry.name: entry for entry in tar}
    assert entries["usr/local/bin/python"].linkname == "/usr/bin/python3"
    assert entries["usr/lib/python3.11/link.py"].issym()
    assert "dev" in entries
    missing = {"usr/lib/python3.11/EXTERNALLY-MANAGED", "usr/share/man/sh.1", "etc/hostname", "var/log/dpkg.log"}
    assert not missing & entries.keys()
    assert entries["usr/lib/python3.11/os.py"].mtime == 1700000000, "the bytecode beside it goes by that"
    assert entries["usr/local/bin/python"].mtime == FILES_TIME
    assert list(entries) == sorted(entries)


def test_it_is_made_in_memory_with_devices_of_this_machine(tmp_path, machine):
    make(tmp_path)
    place = tmp_path / "cache/roots/making"
    devices = [f"--bind /dev/{name} {place}/root/dev/{name}" for name in ("null", "zero", "random", "urandom")]
    lines = (tmp_path / "log.mounts").read_text().splitlines()
    assert [line for line in lines if "tmpfs" not in line] == [*devices, f"umount --recursive {place}"]


def test_the_same_packages_give_the_same_bytes(tmp_path, machine):
    first = make(tmp_path).read_bytes()
    again = root_archive(lambda text: None, Commands(), cache=tmp_path / "other")
    assert again.read_bytes() == first


def test_what_debootstrap_says_when_it_fails(tmp_path, machine):
    machine("debootstrap", DEBOOTSTRAP, "echo 'I: Retrieving'; echo 'E: no such mirror'; exit 1")
    with pytest.raises(BaseImageError, match="cannot be made\n    E: no such mirror\ncheck that the mirror"):
        make(tmp_path)
    assert [path.name for path in (tmp_path / "cache/roots").iterdir() if path.name != "lock"] == ["packages"]
    machine("debootstrap", DEBOOTSTRAP)
    assert make(tmp_path).is_file()


def test_a_mirror_without_later_packages_is_told(tmp_path, machine):
    machine("chroot", CHROOT, "exit 100")
    told = []
    assert make(tmp_path, told).is_file()
    assert told[-1].endswith("security updates are missing")
    assert (tmp_path / "log.chroot").read_text().count("apt-get") == 1


def test_an_update_that_fails_halfway_is_no_root_file_system(tmp_path, machine):
    machine("chroot", CHROOT, 'case "$*" in *upgrade*) echo "E: dpkg was interrupted"; exit 100;; esac')
    with pytest.raises(BaseImageError, match="E: dpkg was interrupted"):
        make(tmp_path)


def test_two_at_once_make_it_once(tmp_path, machine):
    made = [None, None]

    def one(number):
        made[number] = make(tmp_path)

    threads = [threading.Thread(target=one, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1]
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_it_can_be_given_up(tmp_path, machine):
    machine("debootstrap", DEBOOTSTRAP, "echo 'I: Unpacking the base system'; sleep 1000")
    commands = Commands()

    def give_up(text):
        if text.startswith("Unpacking"):
            threading.Thread(target=commands.cancel).start()

    with pytest.raises(Cancelled):
        root_archive(give_up, commands, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache/roots").glob("*.tar"))


def test_debootstrap_is_missing(tmp_path):
    with pytest.raises(BaseImageError, match="debootstrap, which does that, is missing\ninstall it: sudo apt-get"):
        namespaces(0, search_path=str(tmp_path))


def test_somebody_without_rights_needs_a_user_namespace(tmp_path, machine):
    machine("unshare", "#!/bin/sh\nexit 1\n")
    path = os.environ["PATH"]
    with pytest.raises(BaseImageError, match=r"change the owners of files.*\nrun this once as root"):
        namespaces(1000, search_path=path)
    assert namespaces(0, search_path=path) == []
    machine("unshare", "#!/bin/sh\n")
    assert "--user" in namespaces(1000, search_path=path)
    assert "--user" not in namespaces(0, search_path=path)


def test_packages_come_from_where_this_machine_has_them():
    targets = [
        "https://download.docker.com/linux/debian bookworm stable Packages",
        "http://mirror.site/debian-security/ bookworm-security main Packages",
        "http://mirror.site/debian bookworm-updates main Packages",
        "http://mirror.site/debian bookworm contrib Packages",
        "http://mirror.site/debian bookworm main Packages",
        "http://other.site/debian bookworm main Packages",
        "http://mirror.site/debian bookworm main Translations",
    ]
    assert apt_sources(targets) == (
        "deb http://mirror.site/debian bookworm main",
        "deb http://mirror.site/debian bookworm-updates main",
        "deb http://mirror.site/debian-security bookworm-security main",
    )


def test_a_password_of_the_mirror_is_not_in_the_archive(tmp_path, machine):
    target = "http://me:secret@mirror.site/debian bookworm main Packages"
    machine("apt-get", f"#!/bin/sh\necho '{target}'\n")
    told = []
    with tarfile.open(make(tmp_path, told)) as tar:
        text = tar.extractfile("etc/apt/sources.list").read().decode()
    assert text == "deb http://mirror.site/debian bookworm main\n"
    assert "me:secret@" in (tmp_path / "log").read_text(), "it is used"
    assert "secret" not in " ".join(told)


@pytest.mark.parametrize(
    ("targets", "mirror"),
    [
        ([f"{SITE}/ trixie main Packages"], ""),
        ([], f"{SITE}/"),
        (["http://other.site/ubuntu noble main Packages"], SITE),
        (["http://other.site/debian trixie main Packages"], SITE),
    ],
)
def test_another_release_or_system_takes_the_mirror_that_there_is(targets, mirror):
    sources = apt_sources(targets, mirror)
    assert sources[0] == f"deb {SITE} bookworm main"
    assert sources[-1] == f"deb {SITE}-security bookworm-security main"


@pytest.mark.parametrize("targets", [[], ["http://other.site/ubuntu noble main Packages"]])
def test_without_a_mirror_it_says_how_to_name_one(targets):
    with pytest.raises(BaseImageError, match="apt has no Debian packages") as caught:
        apt_sources(targets)
    assert offline.MIRROR in str(caught.value)


def test_the_proxy_of_apt_is_that_of_debootstrap(tmp_path, machine, monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    machine("apt-config", "#!/bin/sh\ncase $3 in *https*) ;; *) echo \"value='http://proxy:3142'\";; esac\n")
    machine("debootstrap", DEBOOTSTRAP, f'echo "proxy $http_proxy $https_proxy" >> {tmp_path}/log')
    make(tmp_path)
    assert (tmp_path / "log").read_text().splitlines()[1].strip() == "proxy http://proxy:3142"


def test_documentation_stays_out_and_licences_stay_in():
    assert left_out("usr/share/doc/bash/README.gz")
    assert left_out("usr/share/doc/bash/examples/a")
    assert not left_out("usr/share/doc/bash")
    assert not left_out("usr/share/doc/bash/copyright")
    assert not left_out("etc/passwd")
    assert left_out("etc/passwd-")


def test_the_program_stands_alone():
    """It runs in other namespaces, and as another user, with nothing but the standard library."""
    program = Path(offline.debian.__file__)
    done = subprocess.run([sys.executable, "-I", "-S", program, "{}"], capture_output=True, text=True)
    assert "KeyError: 'include'" in done.stderr


def test_the_key_is_that_of_what_goes_in(monkeypatch):
    before = root_key()
    monkeypatch.setattr(offline, "PACKAGES", (*offline.PACKAGES, "git"))
    assert root_key() != before

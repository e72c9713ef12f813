"""What a build gets of the place where it runs, and leaves no trace of: the network, and where pip finds packages.

pip's configuration of this machine is mounted into each `RUN` as a secret, so that neither a layer nor the history of
an image holds it. The engines pass proxies on by themselves, and keep them out of both, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from configparser import ConfigParser
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from interactem.engine.files import write_whole
from interactem.engine.images.containerfiles import instructions
from interactem.engine.images.rights import PUBLISHED, run_as_root
from interactem.engine.indexes import pip_files, read_pip_configuration

NETWORK = "host"
"""Builds use this machine's network, so that its proxies and package indexes answer at the addresses they have here."""

SECRET = "interactem-pip"
MOUNT = f"--mount=type=secret,id={SECRET},target=/etc/pip.conf,mode=0444"

_ADDRESSES = ("index-url", "extra-index-url", "find-links")
_OTHERS = ("proxy", "trusted-host", "timeout", "retries", "no-index")
_RUN = re.compile(r"\s*RUN\b", re.I)


def pip_configuration(environment: Mapping[str, str], pip: Mapping[str, str]) -> str:
    """What pip is told in a build, as the text of its configuration file: empty where it is told nothing.

    `pip` is pip's configuration here. Packages in folders of this machine cannot be reached from a build.
    """
    values: dict[str, str] = {}
    for name in (*_ADDRESSES, *_OTHERS):
        value = environment.get("PIP_" + name.upper().replace("-", "_")) or pip.get(name, "")
        words = value.split()
        if name in _ADDRESSES:
            words = [word for word in words if urlsplit(word).scheme in ("http", "https")]
        if words:
            values[name] = "\n".join(words)
    if not values.keys() & {*_ADDRESSES, "proxy"}:
        return ""
    parser = ConfigParser(interpolation=None)
    parser["global"] = values
    text = StringIO()
    parser.write(text)
    return text.getvalue()


def prepare_build(containerfile: Path, bases: Collection[str]) -> list[str]:
    """Change a Containerfile, which lies in a folder of ours, for a build here.

    Returns what the build's command line says beside the rest, the same for docker and podman. `bases` are the names
    of the project's own base images.
    """
    text = containerfile.read_text(encoding="utf-8", errors="surrogateescape")
    text = run_as_root(text, {*PUBLISHED, *bases})
    flags = ["--network", NETWORK]
    if configuration := pip_configuration(os.environ, read_pip_configuration(pip_files(os.environ))):
        secret = containerfile.with_name("pip.conf")
        write_whole(secret, configuration, mode=0o600)
        text = mount_configuration(text)
        flags += secret_flags(secret)
    containerfile.write_text(text, encoding="utf-8", errors="surrogateescape")
    return flags


def secret_flags(configuration: Path) -> list[str]:
    """What a build's command line says about the file that `mount_configuration` has mounted."""
    return ["--secret", f"id={SECRET},src={configuration}"]


def mount_configuration(containerfile: str) -> str:
    """The Containerfile with pip's configuration mounted into each `RUN`."""
    lines = containerfile.splitlines(keepends=True)
    for instruction in instructions(containerfile):
        if instruction.word == "RUN":
            place = instruction.line - 1
            lines[place] = _RUN.sub(lambda found: f"{found[0]} {MOUNT}", lines[place], count=1)
    return "".join(lines)

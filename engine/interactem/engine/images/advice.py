"""What to do about what the engines say, from their words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from interactem.engine.images.builders import EngineName

_FULL = re.compile(r"no space left on device|disk quota exceeded", re.I)
_DENIED = re.compile(
    r"unauthorized|authentication required|denied: |requested access to the resource is denied|403", re.I
)
_MISSING = re.compile(
    r"manifest unknown|name unknown|not found: manifest|image not known|repository does not exist", re.I
)
_PLAIN = re.compile(
    r"server gave HTTP response to HTTPS client|wrong version number|first record does not look like", re.I
)
_UNTRUSTED = re.compile(r"certificate signed by unknown authority|certificate verify failed|SSLCertVerification", re.I)
_UNREACHED = re.compile(
    r"no such host|i/o timeout|connection refused|network is unreachable|temporary failure in name resolution"
    r"|connection reset|deadline exceeded|no route to host|EOF$",
    re.I,
)


def advise(lines: Iterable[str], engine: EngineName, registry: str = "") -> str:
    """One line of advice, empty where there is none to give. `registry` is the one that was asked."""
    text = "\n".join(lines)
    where = registry or "the registry"
    if _FULL.search(text):
        return f"the disk is full: see {engine} system df, make room with {engine} system prune"
    if _UNTRUSTED.search(text):
        return "the network's certificate is not trusted: name its authority with --ca-bundle FILE, with --build-base"
    if _PLAIN.search(text):
        return _insecure(engine, where)
    if _DENIED.search(text):
        return (
            f"log in first: {engine} login {registry}".rstrip() + ", as somebody who may write there, or check the name"
        )
    if _MISSING.search(text) and registry:
        return (
            f"{registry} has no such image: push it there first, with interactem operator push or ./bake --push-local"
        )
    if _MISSING.search(text):
        return "there is no such image: check its name and tag, also in the Containerfile's FROM"
    if _UNREACHED.search(text):
        return f"{where} is not reached: check the network; with --offline, base images need no registry"
    return ""


def _insecure(engine: EngineName, registry: str) -> str:
    if engine == "docker":
        return (
            f'{registry} speaks plain HTTP: add it to "insecure-registries" in /etc/docker/daemon.json, restart docker'
        )
    return f"{registry} speaks plain HTTP: name it in /etc/containers/registries.conf.d/ with insecure = true"

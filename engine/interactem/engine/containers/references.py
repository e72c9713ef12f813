"""Images' names: registry, repository, tag and digest. Pure functions."""

from __future__ import annotations

_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def split_reference(reference: str) -> tuple[str, str]:
    """The repository, and the tag or the digest; the tag `latest` where there is neither."""
    repository, at, digest = reference.partition("@")
    head, colon, tag = repository.rpartition(":")
    tagged = bool(colon) and "/" not in tag
    if at:
        return (head if tagged else repository), digest
    return (head, tag) if tagged else (reference, "latest")


def registry(reference: str) -> str:
    """The registry's host and port; `docker.io` where the name has none."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def is_local(reference: str) -> bool:
    """Whether the registry is on this machine: such a one needs no certificate."""
    host = registry(reference)
    return any(host == name or host.startswith(f"{name}:") for name in _LOCAL)


def with_algorithm(identifier: str) -> str:
    """An image's id as all engines have it, `sha256:…`."""
    return identifier if ":" in identifier else f"sha256:{identifier}"


def digest_of(reference: str, digests: tuple[str, ...]) -> str:
    """Of an image's digests, that of its own repository, else any; empty where there is none."""
    repository, _ = split_reference(reference)
    own = [digest for digest in digests if digest.startswith(f"{repository}@")]
    return (own or list(digests) or [""])[0]

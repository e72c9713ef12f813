"""Names of images: `[registry/]path[:tag][@digest]`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

LOCAL_REGISTRY = "localhost:5001"
LATEST = "latest"

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>[a-z0-9]+:[0-9a-f]{32,}))?"
)
NOBODYS = "localhost"
"""What stands for the registry in the name of an image that was never meant to leave its machine."""


@dataclass(frozen=True, slots=True)
class ImageName:
    """`registry` is empty where the name has none, `tag` is `latest` where it says nothing else."""

    registry: str
    path: str
    tag: str = LATEST
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """Raises `ValueError`, in words, where the text is no name of an image."""
        first, slash, rest = text.partition("/")
        registry = first if slash and (any(c in first for c in ".:") or first == NOBODYS) else ""
        found = _NAME.fullmatch(rest if registry else text)
        if found is None:
            raise ValueError(f"{text!r} is not the name of an image; one looks like ghcr.io/you/operators/name:latest")
        return cls(registry, found["path"], found["tag"] or LATEST, found["digest"] or "")

    def __str__(self) -> str:
        tag = "" if self.digest and self.tag == LATEST else f":{self.tag}"
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def repository(self) -> str:
        """The name without tag and digest."""
        return f"{self.registry}/{self.path}" if self.registry else self.path

    @property
    def last(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def key(self) -> ImageName:
        """Equal for names that mean one image of this machine: `x`, `x:latest`, `localhost/x`."""
        return replace(self, registry="") if self.registry == NOBODYS else self

    def in_local_registry(self, registry: str = LOCAL_REGISTRY) -> ImageName:
        """Its name in a registry that mirrors others: the whole name below the registry's."""
        path = f"{self.registry}/{self.path}" if self.registry not in ("", NOBODYS) else self.path
        return ImageName(registry, path.replace(":", "-"), self.tag)

    def in_registry(self, registry: str) -> ImageName:
        """Its name in another registry: `host` takes the host's place, `host/path` all but the last part."""
        host, slash, path = registry.rstrip("/").partition("/")
        return ImageName(host, f"{path}/{self.last}" if slash else self.path, self.tag)


def key_of(text: str) -> ImageName | None:
    """Equal for names that mean one image of this machine; None where the text is no name of an image."""
    try:
        return ImageName.parse(text).key
    except ValueError:
        return None


def same_image(one: str, other: str) -> bool:
    return one == other or ((key := key_of(one)) is not None and key == key_of(other))

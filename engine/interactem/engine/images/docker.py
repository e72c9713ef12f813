"""Docker, with buildx."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from interactem.engine.images.builders import Build, EngineImage, EngineName, Step, shorten
from interactem.engine.images.commands import Answer, ask, ask_all
from interactem.engine.images.errors import ImageError, NoEngineError
from interactem.engine.images.names import same_image

INSTALL = "install Docker: https://docs.docker.com/engine/install/"
START = "start it: sudo systemctl start docker"
BUILDX = (
    "install its plugin buildx: on Debian and Ubuntu with Docker's packages, sudo apt-get install docker-buildx-plugin"
)
PERMISSION = (
    "add yourself to its group, sudo usermod -aG docker $USER, and log in again; or use podman, which needs none"
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "FTP_PROXY", "ALL_PROXY")

_STEP = re.compile(r"#\d+ \[(?:(?!internal)[^\]]*? ?)?(?P<number>\d+/\d+)\] (?P<text>.*)")
_BEGIN = re.compile(r"#(?P<id>\d+) \[(?P<text>.*)")
_ERROR = re.compile(r"#(?P<id>\d+) ERROR:? ?(?P<text>.*)")
_OUTPUT = re.compile(r"#(?P<id>\d+) \d+\.\d+ (?P<text>.*)")
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")


class DockerBuilder:
    """Builds with BuildKit inside the Docker daemon: its builder sees the daemon's own images before any registry's."""

    name: EngineName = "docker"

    def __init__(self) -> None:
        self.environment: Mapping[str, str] = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "DOCKER_CLI_HINTS": "false"}

    def check(self) -> None:
        daemon, buildx = ask_all(
            ["docker", "version", "--format", "{{.Server.Version}}"], ["docker", "buildx", "version"]
        )
        if daemon.code:
            raise _trouble(daemon)
        if buildx.code or "buildx" not in buildx.out:
            raise NoEngineError("docker has no buildx", BUILDX)

    @cached_property
    def _builder(self) -> str:
        """The builder of the daemon itself: another one, in a container, would not see the daemon's images."""
        return ask(["docker", "context", "inspect", "--format", "{{.Name}}"]).out.strip() or "default"

    def images(self, names: Collection[str]) -> dict[str, EngineImage]:
        if not names:
            return {}
        answer = ask(["docker", "image", "inspect", *names])
        if answer.code and not _only_missing(answer.err):
            raise _trouble(answer)
        found = [_engine_image(value) for value in json.loads(answer.out or "[]")]
        return {name: image for name in names if (image := _named(name, found)) is not None}

    def labelled(self, label: str) -> list[EngineImage]:
        answer = ask(["docker", "image", "ls", "--quiet", "--no-trunc", "--filter", f"label={label}"])
        if answer.code:
            raise _trouble(answer)
        if not (ids := dict.fromkeys(answer.out.split())):
            return []
        answer = ask(["docker", "image", "inspect", *ids])
        if answer.code and not _only_missing(answer.err):
            raise _trouble(answer)
        return [_engine_image(value) for value in json.loads(answer.out or "[]")]

    def build_command(self, build: Build) -> list[str]:
        command = ["docker", "buildx", "build", "--builder", self._builder, "--load", "--progress", "plain"]
        command += ["--file", str(build.containerfile), "--iidfile", str(build.id_file)]
        for image in build.images:
            command += ["--tag", image]
        for name, value in build.arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        for proxy in (name for wide in PROXIES for name in (wide, wide.lower()) if name in os.environ):
            command += ["--build-arg", proxy]  # docker takes the value from the environment
        return [*command, *build.flags, str(build.context)]

    def build_environment(self, build: Build) -> Mapping[str, str]:
        return self.environment

    def halt(self, build: Build) -> bool:
        return False

    def abandon(self, build: Build) -> None:
        """BuildKit ends and cleans up by itself when nobody waits for a build any more."""

    def tag_commands(self, image: str, names: Sequence[str]) -> list[list[str]]:
        return [["docker", "image", "tag", image, name] for name in names]

    def untag_command(self, name: str) -> list[str]:
        return ["docker", "image", "rm", "--no-prune", name]

    def pull_command(self, image: str, *, insecure: bool = False) -> list[str]:
        return ["docker", "image", "pull", "--quiet", image]

    def push_command(self, image: str, digest_file: Path, *, insecure: bool = False) -> list[str]:
        return ["docker", "image", "push", image]

    def step(self, line: str) -> str | None:
        found = _STEP.match(line)
        return shorten(f"{found['number']} {found['text']}") if found else None

    def failing_step(self, lines: Sequence[str]) -> Step:
        failed = next((found for line in reversed(lines) if (found := _ERROR.match(line))), None)
        if failed is None:
            errors = [line for line in lines if line.startswith("ERROR")]
            return Step("", errors or [line for line in lines if line.strip()][-5:])
        begun = [found["text"] for line in lines if (found := _BEGIN.match(line)) and found["id"] == failed["id"]]
        said = [found["text"] for line in lines if (found := _OUTPUT.match(line)) and found["id"] == failed["id"]]
        return Step(shorten(f"[{begun[0]}" if begun else ""), [*said, failed["text"]])

    def stumbled(self, lines: Sequence[str]) -> bool:
        return False

    def pushed_digest(self, lines: Sequence[str], digest_file: Path) -> str:
        return next((found[1] for line in reversed(lines) if (found := _DIGEST.search(line))), "")


def _engine_image(value: dict[str, Any]) -> EngineImage:
    digests = [text.partition("@")[2] for text in value.get("RepoDigests") or ()]
    return EngineImage(
        id=value["Id"],
        names=tuple(value.get("RepoTags") or ()),
        labels=(value.get("Config") or {}).get("Labels") or {},
        size=value.get("Size") or 0,
        created=value.get("Created") or "",
        digest=digests[0] if digests else "",
    )


def _named(name: str, images: Sequence[EngineImage]) -> EngineImage | None:
    if "@" in name:
        return next((image for image in images if image.digest == name.partition("@")[2]), None)
    return next((i for i in images if name == i.id or any(same_image(name, other) for other in i.names)), None)


def _only_missing(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip() and "level=warning" not in line]
    return bool(lines) and all("no such image" in line.lower() or "no such object" in line.lower() for line in lines)


def _trouble(answer: Answer) -> ImageError:
    text = answer.err.lower()
    if answer.code == 127:
        return NoEngineError("there is no docker on this machine", INSTALL)
    if "permission denied" in text:
        return NoEngineError("you may not use the Docker daemon", PERMISSION)
    if "cannot connect" in text or "error during connect" in text or "is the docker daemon running" in text:
        return NoEngineError("the Docker daemon does not run", START)
    return NoEngineError(f"docker cannot be used: {answer.last}", START)

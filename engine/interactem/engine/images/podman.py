"""Podman."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from interactem.engine.images.builders import Build, EngineImage, EngineName, Step, shorten
from interactem.engine.images.commands import Answer, ask
from interactem.engine.images.errors import ImageError, NoEngineError
from interactem.engine.images.labels import OURS
from interactem.engine.images.names import same_image

INSTALL = "install podman: sudo apt-get install podman, or see https://podman.io/docs/installation"
SUBUID = "give yourself subordinate ids: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER"
MIGRATE = "podman info may say more; after changes to its configuration: podman system migrate"
MACHINE = "start it: podman machine start"

LISTINGS = 10

_STEP = re.compile(r"(?:\[(?P<stage>\d+/\d+)\] )?STEP (?P<number>\d+/\d+): (?P<text>.*)")
_ERROR = re.compile(r"Error: (?P<text>.*)")


class PodmanBuilder:
    """Builds in podman itself: there is no daemon."""

    name: EngineName = "podman"

    def __init__(self) -> None:
        self.environment: Mapping[str, str] = {}

    def check(self) -> None:
        # there is no daemon that could be down; what else is wrong with it, the first command tells
        if shutil.which("podman") is None:
            raise NoEngineError("there is no podman on this machine", INSTALL)

    def images(self, names: Collection[str]) -> dict[str, EngineImage]:
        if not names:
            return {}
        # listing all images takes seconds where there are many
        answer = ask(["podman", "image", "inspect", *names])
        if answer.code and not _only_missing(answer.err):
            raise _trouble(answer)
        found = [_inspected(value) for value in json.loads(answer.out or "[]")]
        return {name: image for name in names if (image := _named(name, found)) is not None}

    def labelled(self, label: str) -> list[EngineImage]:
        command = ["podman", "image", "ls", "--format", "json", "--filter", f"label={label}"]
        answer = ask(command)
        for _ in range(LISTINGS):  # it stumbles over an image that somebody removes while it lists
            if not _only_missing(answer.err):
                break
            answer = ask(command)
        if answer.code:
            raise _trouble(answer)
        return [_listed(value) for value in json.loads(answer.out or "[]")]

    def build_command(self, build: Build) -> list[str]:
        ignored = build.containerfile.with_name(f"{build.containerfile.name}.dockerignore")
        command = ["podman", "build", "--force-rm", "--pull=never"]
        # known in the build alone; podman notes it with the build's containers, which are found by it
        command += ["--add-host", f"{build.mark}:127.0.0.1"]
        command += ["--file", str(build.containerfile), "--iidfile", str(build.id_file)]
        if ignored.is_file():
            command += ["--ignorefile", str(ignored)]
        for image in build.images:
            command += ["--tag", image]
        for name, value in build.arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        return [*command, *build.flags, str(build.context)]

    def build_environment(self, build: Build) -> Mapping[str, str]:
        return {**self.environment, "TMPDIR": str(build.scratch)}

    def halt(self, build: Build) -> bool:
        """The processes of a `RUN` outlive podman when it gets a signal; when they end, it cleans up by itself."""
        for file in build.scratch.glob("buildah*/pid"):
            pid = file.read_text() if file.is_file() else ""
            if pid.isdecimal():
                _kill(int(pid))
        return True

    def abandon(self, build: Build) -> None:
        """A build that is ended leaves the containers of its steps, unlike one that fails."""
        answer = ask(["podman", "info", "--format", "{{.Store.GraphRoot}}/{{.Store.GraphDriverName}}-containers"])
        notes = Path(answer.out.strip()).glob("*/userdata/buildah.json") if answer.code == 0 else ()
        left = [note.parents[1].name for note in notes if build.mark in note.read_text(errors="replace")]
        if left:
            ask(["podman", "rm", "--force", *left])

    def tag_commands(self, image: str, names: Sequence[str]) -> list[list[str]]:
        return [["podman", "tag", image, *names]] if names else []

    def untag_command(self, name: str) -> list[str]:
        return ["podman", "untag", name, name]

    def pull_command(self, image: str, *, insecure: bool = False) -> list[str]:
        return ["podman", "pull", "--quiet", *_tls(insecure), image]

    def push_command(self, image: str, digest_file: Path, *, insecure: bool = False) -> list[str]:
        return ["podman", "push", "--digestfile", str(digest_file), *_tls(insecure), image]

    def step(self, line: str) -> str | None:
        found = _STEP.match(line)
        if found is None or found["text"].startswith(f'LABEL "{OURS}'):
            return None  # our own labels say nothing to anybody
        return shorten(f"{found['number']} {found['text']}")

    def failing_step(self, lines: Sequence[str]) -> Step:
        start = next((n for n in range(len(lines) - 1, -1, -1) if _STEP.match(lines[n])), None)
        said = [line for line in lines[0 if start is None else start + 1 :] if line.strip()]
        text = "" if start is None else self.step(lines[start]) or ""
        return Step(text, [found["text"] if (found := _ERROR.match(line)) else line for line in said])

    def stumbled(self, lines: Sequence[str]) -> bool:
        # it goes through all images there are for layers that it could use again
        return any("image not known" in line or "layer not known" in line for line in lines[-3:])

    def pushed_digest(self, lines: Sequence[str], digest_file: Path) -> str:
        return digest_file.read_text(encoding="ascii").strip() if digest_file.is_file() else ""


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        try:
            os.kill(pid, signal.SIGKILL)
        except PermissionError:  # rootless: the process is of a user that only podman's namespace knows
            ask(["podman", "unshare", "kill", "-KILL", str(pid)])


def _tls(insecure: bool) -> list[str]:
    return ["--tls-verify=false"] if insecure else []


def _inspected(value: dict[str, Any]) -> EngineImage:
    return EngineImage(
        id=f"sha256:{value['Id'].removeprefix('sha256:')}",
        names=tuple(value.get("RepoTags") or ()),
        labels=value.get("Labels") or {},
        size=value.get("Size") or 0,
        created=value.get("Created") or "",
        digest=value.get("Digest") or "",
    )


def _listed(value: dict[str, Any]) -> EngineImage:
    return EngineImage(
        id=f"sha256:{value['Id'].removeprefix('sha256:')}",
        names=tuple(value.get("Names") or value.get("RepoTags") or ()),
        labels=value.get("Labels") or {},
        size=value.get("Size") or 0,
        created=value.get("CreatedAt") or "",
        digest=value.get("Digest") or "",
    )


def _named(name: str, images: Sequence[EngineImage]) -> EngineImage | None:
    repository, _, digest = name.partition("@")
    if digest:
        return next((image for image in images if image.digest == digest), None)
    return next((image for image in images if any(_means(repository, other) for other in image.names)), None)


def _means(name: str, image: str) -> bool:
    # a short name that was pulled from Docker's registry is listed with the registry and its library
    return same_image(name, image) or image in (f"docker.io/library/{name}", f"docker.io/library/{name}:latest")


def _only_missing(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip() and "level=warning" not in line]
    return bool(lines) and all("image not known" in line.lower() or "no such image" in line.lower() for line in lines)


def _trouble(answer: Answer) -> ImageError:
    text = answer.err.lower()
    if answer.code == 127:
        return NoEngineError("there is no podman on this machine", INSTALL)
    if "newuidmap" in text or "subuid" in text or "insufficient uids" in text:
        return NoEngineError(f"podman cannot map users: {answer.last}", SUBUID)
    if "podman machine" in text or "unable to connect to podman" in text:
        return NoEngineError("podman's machine does not run", MACHINE)
    return NoEngineError(f"podman cannot be used: {answer.last}", MIGRATE)

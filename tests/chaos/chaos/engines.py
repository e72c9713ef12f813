"""Replicas in containers: images of the operators, and the processes that a container has on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from chaos.runs import INTERACTEM, CommandError

ENGINES = ("podman", "docker")
CONTAINERFILE = "FROM ghcr.io/nersc/interactem/operator\nCOPY . /app/\n"
RUN_LABEL = "interactem.run"


class Engine:
    """podman or docker. `operators` is the folder of those whose images it has."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self._place = place
        self._images: list[str] = []

    @property
    def operators(self) -> Path:
        return self._place / "operators"

    def build(self, operators: Path, names: Iterable[str]) -> None:
        """Images of the operators, and of the base that they need. Raises `CommandError`."""
        for name in names:
            folder = self.operators / name
            shutil.copytree(operators / name, folder)
            image = f"interactem-chaos-{os.getpid()}/{name}"
            spec = json.loads((folder / "operator.json").read_text())
            (folder / "operator.json").write_text(json.dumps({**spec, "image": f"localhost/{image}"}))
            (folder / "Containerfile").write_text(CONTAINERFILE)
            self._images += [image, f"localhost/{image}"]  # docker and podman name it so
        command = [str(INTERACTEM), "operator", "build", "--engine", self.name]
        done = subprocess.run(command, cwd=self._place, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CommandError(f"{' '.join(command)}: exit code {done.returncode}: {done.stdout}{done.stderr}")

    def processes(self, container: str) -> tuple[int, ...]:
        """All that are in a container, by their numbers on this machine; none where it does not run."""
        first = self._answer("inspect", "--format", "{{.State.Pid}}", container)
        if not first or first == "0":
            return ()
        space = _space(first)
        pids = (entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return tuple(int(pid) for pid in pids if space is not None and _space(pid) == space)

    def containers(self, run: str) -> list[str]:
        """The names of a run's containers, whatever their state."""
        return self._answer("ps", "-a", "--filter", f"label={RUN_LABEL}={run}", "--format", "{{.Names}}").split()

    def remove(self, containers: Iterable[str]) -> None:
        self._answer("rm", "-f", *containers)

    def close(self) -> None:
        if self._images:
            self._answer("rmi", "-f", *self._images)

    def _answer(self, *words: str) -> str:
        """What the engine prints; nothing where it refuses."""
        done = subprocess.run([self.name, *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""


def _space(pid: str) -> str | None:
    """The namespace of process numbers that a process is in."""
    with suppress(OSError):
        return str(Path("/proc", pid, "ns", "pid").readlink())
    return None

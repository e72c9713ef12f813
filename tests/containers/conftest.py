"""Real engines, and our base images in them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from interactem.engine.images import offline
from interactem.engine.images.baking import Bakery
from interactem.engine.images.builders import Builder, EngineName
from interactem.engine.images.choosing import find_builder
from interactem.engine.images.errors import NoEngineError
from interactem.engine.images.projects import Project

ROOT = Path(__file__).parents[2]
SECONDS = 600
"""For one test, with all that it has to build first."""


def pytest_collection_modifyitems(items):
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))


@dataclass(frozen=True)
class Engine:
    """A container engine with our base images in it. `sizes` are those of the images, in bytes."""

    builder: Builder
    sizes: dict[str, int]

    @property
    def name(self) -> EngineName:
        return self.builder.name

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.name, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def attempt(self, image: str, *words: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a program, the first word, in a container."""
        return self.command("run", "--rm", "--network", "host", *flags, "--entrypoint", words[0], image, *words[1:])

    def run(self, image: str, *words: str, flags: tuple[str, ...] = ()) -> str:
        """What the program prints; it must end well."""
        done = self.attempt(image, *words, flags=flags)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()


class Engines(dict[str, Engine]):
    """The engines of this machine by their names. One that is asked for gets our base images, once in a session."""

    def __missing__(self, name: EngineName) -> Engine:
        try:
            builder, _ = find_builder(name)
        except NoEngineError as error:
            pytest.skip(f"{name}: {error.reason}")
        if shutil.which("debootstrap", path=offline._search_path({})) is None:
            pytest.skip("debootstrap, which makes base images without a registry, is not installed")
        project = Project.open(ROOT, offline=True)
        selection = project.select([base.name for base in project.bases], bases=True)
        outcomes = Bakery(selection.plan, builder, selection.asked).bake()
        failed = [f"{outcome.name}: {outcome.reason}" for outcome in outcomes if not outcome.ok]
        assert not failed, "\n".join(failed)
        self[name] = Engine(builder, {outcome.name: outcome.size for outcome in outcomes})
        return self[name]


@pytest.fixture(scope="session")
def base_images() -> Engines:
    """`base_images["podman"]` is podman with our base images in it; where there is no podman, the test is skipped."""
    return Engines()


@pytest.fixture(scope="session", params=["docker", "podman"])
def engine(request, base_images) -> Engine:
    return base_images[request.param]

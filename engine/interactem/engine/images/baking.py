"""Baking: builds what has to be built, in order, independent images side by side."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from secrets import token_hex
from threading import Lock

from interactem.engine.errors import EngineError
from interactem.engine.images import labels
from interactem.engine.images.advice import advise
from interactem.engine.images.builders import Build, Builder, EngineImage
from interactem.engine.images.commands import Cancelled, Commands, Finished
from interactem.engine.images.errors import BuildError, TransferError
from interactem.engine.images.names import ImageName, key_of
from interactem.engine.images.outcomes import Observe, Outcome, State, described, ignore, shown
from interactem.engine.images.plan import BakePlan, every_inputs_hash, inputs_hash
from interactem.engine.images.scheduling import work_off
from interactem.engine.images.targets import Target
from interactem.spec import SpecError

OLD = "it is there, but older than its folder"
"""Why a base image that is only built on is left alone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an image has to be built, and why, or why not."""

    build: bool
    reason: str


def judge(image: EngineImage | None, inputs: str) -> Verdict:
    """Whether an image has to be brought up to date, from what is there and the hash of its inputs."""
    if image is None:
        return Verdict(True, "there is no image")
    known = image.labels.get(labels.INPUTS)
    if known is None:
        return Verdict(True, "the image was not baked here")
    return Verdict(False, "nothing has changed") if known == inputs else Verdict(True, "its inputs have changed")


@dataclass
class Bakery:
    """One bake with one engine. `asked` are the targets that are wanted; what they build on comes along if missing."""

    plan: BakePlan
    builder: Builder
    asked: Collection[str]
    observe: Observe = ignore
    commands: Commands = field(default_factory=Commands)
    images: dict[str, EngineImage] = field(default_factory=dict)
    """What the engine has of what was asked for, by the names that were asked for."""
    _names: dict[str, ImageName | None] = field(default_factory=dict)
    _pulling: Lock = field(default_factory=Lock)

    def bake(self) -> list[Outcome]:
        """Build what has to be built. What fails is among the outcomes; all else goes on. Raises `ImageError`."""
        self.look()
        names = self._needed()
        needs = {name: [parent for parent in self.plan.parents[name] if parent in names] for name in names}
        outcomes = work_off(names, needs, self._finish, self.commands)
        return self._measured([outcomes[name] for name in names])

    def foresee(self) -> list[tuple[Target, Verdict]]:
        """What `bake` would do, as far as it can be known before."""
        self.look()
        found: dict[str, Verdict] = {}
        for target in map(self.plan.target, self._needed()):
            verdict = self._verdict(target)
            built = [name for name in self.plan.parents[target.name] if name in found and found[name].build]
            if built and target.name in self.asked and not verdict.build:
                verdict = Verdict(True, f"it builds on {', '.join(built)}")
            found[target.name] = verdict
        return [(self.plan.target(name), verdict) for name, verdict in found.items()]

    def look(self) -> None:
        """Ask the engine, once, for all images that the targets make or build on."""
        every = [name for target in self.plan.targets for name in (*target.images, *target.references)]
        self._names = {name: key_of(name) for name in every}
        self.images = self.builder.images(list(self._names))

    def _needed(self) -> list[str]:
        """The targets to look after: not what an image was built on that is there and only built on itself."""
        found: set[str] = set()
        waiting = list(self.asked)
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                if name in self.asked or self.plan.target(name).image not in self.images:
                    waiting.extend(self.plan.parents[name])
        return [target.name for target in self.plan.targets if target.name in found]

    def _verdict(self, target: Target) -> Verdict:
        image = self.images.get(target.image)
        if target.name in self.asked:
            return judge(image, self._inputs(target) if image else "")
        if image is None:
            return Verdict(True, "there is no image")
        return Verdict(False, OLD if self._old(target, image) else "it is there")

    def _old(self, target: Target, image: EngineImage) -> bool:
        """Whether what is only built on was baked here, of something else than what is there now.

        The Python that all stands on is as good as any: it changes with the day and the place.
        """
        known = image.labels.get(labels.INPUTS)
        if known is None or not self.plan.parents[target.name] or any(r not in self.images for r in target.references):
            return False
        return known not in every_inputs_hash(target, self._ids(target))

    def _inputs(self, target: Target) -> str:
        return inputs_hash(target, self._ids(target))

    def _ids(self, target: Target) -> dict[str, str]:
        return {name: self.images[name].id for name in target.references if name in self.images}

    def _finish(self, name: str, outcomes: Mapping[str, Outcome]) -> Outcome:
        """Do for one target, in a thread of its own, what there is to do."""
        target = self.plan.target(name)
        parents = [parent for parent in self.plan.parents[target.name] if parent in outcomes]
        failed = [parent for parent in parents if not outcomes[parent].ok]
        if failed:
            return self._end(target, "skipped", time.monotonic(), f"it builds on {', '.join(failed)}, which failed")
        start = time.monotonic()
        try:
            if target.name in self.asked or target.image not in self.images:
                for image in self.plan.outside[target.name]:
                    self._pull(target, image)
            verdict = self._verdict(target)
            if verdict.build:
                self._build(target)
            else:
                self._name(target)
        except (EngineError, SpecError, OSError) as error:
            return self._end(target, "failed", start, described(error))
        return self._end(target, "built" if verdict.build else "unchanged", start, verdict.reason)

    def _end(self, target: Target, state: State, start: float, reason: str) -> Outcome:
        self.observe(target.name, state, reason if state == "skipped" else "")
        return Outcome(target.name, target.image, target.kind, state, time.monotonic() - start, reason=reason)

    def _pull(self, target: Target, image: str) -> None:
        """An image that no target makes: the engine's own, else a registry's."""
        with self._pulling:
            if image in self.images:
                return
            self.observe(target.name, "building", f"pulling {image}")
            done = self.commands.run(self.builder.pull_command(image), self.builder.environment)
            if not done.ok:
                raise TransferError(image, "pulled", shown(done.lines), advise(done.lines, self.builder.name))
            self.images |= self.builder.images([image])

    def _build(self, target: Target) -> None:
        from interactem.engine.images.sites import prepare_build  # not needed where there is nothing to do

        self.observe(target.name, "building", "")
        with scratch_folder() as scratch:
            tell = partial(self.observe, target.name, "building")
            context, containerfile = target.lay_out(scratch, tell, self.commands)
            flags = prepare_build(containerfile, [name for base in self.plan.bases for name in base.images])
            made_from = {**target.labels, labels.INPUTS: self._inputs(target)}
            labels.add_to(containerfile, made_from)
            build = Build(context, containerfile, target.images, scratch, f"bake-{token_hex(8)}", flags=flags)
            done = self._run(build, target)
            if not done.ok:
                step = self.builder.failing_step(done.lines)
                raise BuildError(target.name, step.text, shown(step.lines), advise(done.lines, self.builder.name))
            self._store(target, EngineImage(build.id_file.read_text().strip(), target.images, made_from))

    def _run(self, build: Build, target: Target) -> Finished:
        command, environment = self.builder.build_command(build), self.builder.build_environment(build)
        tell, halt = partial(self._tell, target), partial(self.builder.halt, build)
        try:
            done = self.commands.run(command, environment, tell, halt)
            if not done.ok and self.builder.stumbled(done.lines):
                done = self.commands.run(command, environment, tell, halt)
            return done
        except Cancelled:
            self.builder.abandon(build)
            raise

    def _tell(self, target: Target, line: str) -> None:
        if step := self.builder.step(line):
            self.observe(target.name, "building", step)

    def _name(self, target: Target) -> None:
        """Give an image that is there its other names, where it lost them."""
        image = self.images[target.image]
        lost = [name for name in target.images if name not in self.images or self.images[name].id != image.id]
        for command in self.builder.tag_commands(image.id, lost):
            self.commands.run(command, self.builder.environment)
        self._store(target, image)

    def _store(self, target: Target, image: EngineImage) -> None:
        keys = {key_of(name) for name in target.images}
        self.images |= {name: image for name, key in self._names.items() if key in keys}

    def _measured(self, outcomes: list[Outcome]) -> list[Outcome]:
        if any(outcome.state == "built" for outcome in outcomes):
            self.images |= self.builder.images([outcome.image for outcome in outcomes if outcome.state == "built"])
        return [self._with_size(outcome) for outcome in outcomes]

    def _with_size(self, outcome: Outcome) -> Outcome:
        image = self.images.get(outcome.image)
        if image is None or not outcome.ok:
            return outcome
        return outcome.of(image)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for a build's files, which can be many: not in `/tmp`, which may be in memory."""
    roomy = os.environ.get("TMPDIR") or ("/var/tmp" if os.path.isdir("/var/tmp") else None)
    with tempfile.TemporaryDirectory(prefix="interactem-bake-", dir=roomy) as scratch:
        yield Path(scratch)

"""Pushing images to a registry and pulling them from one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from interactem.engine.images.advice import advise
from interactem.engine.images.builders import Builder
from interactem.engine.images.commands import Commands, Finished
from interactem.engine.images.errors import ImageError, TransferError
from interactem.engine.images.outcomes import Observe, Outcome, State, described, ignore, shown
from interactem.engine.images.scheduling import work_off


@dataclass(frozen=True, slots=True)
class Moved:
    """An image on its way: the operator's or base image's name, the names it has here, and its name at the registry.

    One that is `optional` is left out where it is not there.
    """

    name: str
    kind: str
    images: tuple[str, ...]
    remote: str
    optional: bool = False


@dataclass
class Transfer:
    """Pushes or pulls with one engine; `registry` is whom it deals with, as far as it is one."""

    builder: Builder
    registry: str = ""
    insecure: bool = False
    observe: Observe = ignore
    commands: Commands = field(default_factory=Commands)

    def push(self, images: Iterable[Moved]) -> list[Outcome]:
        """Push images. What fails is among the outcomes; all else goes on. Raises `ImageError`."""
        every = list(images)
        there = self.builder.images([moved.images[0] for moved in every])
        every = [moved for moved in every if moved.images[0] in there or not moved.optional]

        def push(moved: Moved) -> Outcome:
            if moved.images[0] not in there:
                raise ImageError("there is no such image here", f"build it: interactem operator build {moved.name}")
            digest = self._push(moved.images[0], moved.remote)
            image = there[moved.images[0]]
            return Outcome(moved.name, moved.remote, moved.kind, "pushed", id=image.id, digest=digest, size=image.size)

        return self._move(every, "pushing", push)

    def pull(self, images: Iterable[Moved]) -> list[Outcome]:
        """Pull images and give them the names that they have here. What fails is among the outcomes."""
        every = list(images)

        def pull(moved: Moved) -> Outcome:
            self._run(self.builder.pull_command(moved.remote, insecure=self.insecure), moved.remote, "pulled")
            if moved.remote not in moved.images:
                self._tag(moved.remote, moved.images)
                self._run(self.builder.untag_command(moved.remote), moved.remote, "unnamed")
            return Outcome(moved.name, moved.images[0], moved.kind, "pulled")

        optional = {moved.name for moved in every if moved.optional}
        moved = self._move(every, "pulling", pull)
        done = [outcome for outcome in moved if outcome.ok or outcome.name not in optional]
        found = self.builder.images([outcome.image for outcome in done if outcome.ok])
        return [outcome.of(found[outcome.image]) if outcome.image in found else outcome for outcome in done]

    def _push(self, image: str, remote: str) -> str:
        if remote != image:
            self._tag(image, [remote])
        try:
            with tempfile.TemporaryDirectory(prefix="interactem-push-") as scratch:
                file = Path(scratch, "digest")
                done = self._run(self.builder.push_command(remote, file, insecure=self.insecure), remote, "pushed")
                return self.builder.pushed_digest(done.lines, file)
        finally:
            if remote != image:  # its name at the registry is nothing to look at here
                with suppress(TransferError):
                    self._run(self.builder.untag_command(remote), remote, "unnamed")

    def _tag(self, image: str, names: Sequence[str]) -> None:
        for command in self.builder.tag_commands(image, names):
            self._run(command, image, "named")

    def _run(self, command: list[str], image: str, doing: str) -> Finished:
        done = self.commands.run(command, self.builder.environment)
        if not done.ok:
            raise TransferError(image, doing, shown(done.lines), advise(done.lines, self.builder.name, self.registry))
        return done

    def _move(self, every: list[Moved], state: State, work: Callable[[Moved], Outcome]) -> list[Outcome]:
        by_name = {moved.name: moved for moved in every}

        def one(name: str, _: Mapping[str, Outcome]) -> Outcome:
            moved, start = by_name[name], time.monotonic()
            self.observe(name, state, moved.remote)
            try:
                outcome = work(moved)
            except (ImageError, OSError) as error:
                outcome = Outcome(name, moved.remote, moved.kind, "failed", reason=described(error))
            self.observe(name, outcome.state, "")
            return outcome.lasting(time.monotonic() - start)

        done = work_off(by_name, {}, one, self.commands)
        return [done[moved.name] for moved in every]

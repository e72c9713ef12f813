"""One bake, from a command's options to its summary: build, push, pull, each as far as it is asked for."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from interactem.cli.baking_screen import BakeScreen, print_outcomes
from interactem.cli.failures import FAILED, InvalidError
from interactem.cli.output import print_json, print_table
from interactem.engine.catalog import find_root
from interactem.engine.images.bakefile import FILE, refresh
from interactem.engine.images.baking import OLD, Bakery
from interactem.engine.images.builders import Builder, EngineName
from interactem.engine.images.choosing import find_builder
from interactem.engine.images.commands import Commands
from interactem.engine.images.errors import ImageError
from interactem.engine.images.names import LOCAL_REGISTRY, ImageName
from interactem.engine.images.outcomes import Outcome
from interactem.engine.images.projects import Project, Selection
from interactem.engine.images.targets import Target
from interactem.engine.images.transfers import Moved, Transfer
from interactem.spec.wording import suggest


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. Nothing named means everything."""

    names: tuple[str, ...] = ()
    build: bool = False
    bases: bool = False
    push_local: bool = False
    pull_local: bool = False
    push_remote: bool = False
    pull_remote: bool = False
    registry: str | None = None
    dry_run: bool = False
    engine: EngineName | None = None
    puller: EngineName = "podman"
    offline: bool = False
    ca_bundle: Path | None = None

    @property
    def pulls(self) -> bool:
        return self.pull_local or self.pull_remote

    @property
    def pushes(self) -> bool:
        return self.push_local or self.push_remote

    def check(self) -> None:
        """Raises `InvalidError` where the options do not go together, or name what cannot be."""
        if self.registry is not None:
            if not (self.push_remote or self.pull_remote):
                raise InvalidError("--registry says where --push-remote pushes to: add --push-remote")
            try:
                ImageName.parse(str(ImageName("", "name").in_registry(self.registry)))
            except ValueError:
                raise InvalidError(f"{self.registry!r} is no registry: write HOST, or HOST/PATH") from None
        if self.ca_bundle is not None:
            _check_bundle(self.ca_bundle)


def _check_bundle(path: Path) -> None:
    from interactem.engine.images.authorities import read_authorities

    if not path.is_file():
        raise InvalidError(f"--ca-bundle: there is no file {path}")
    try:
        read_authorities(path, {}, {})
    except ImageError as error:
        raise InvalidError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Means:
    """The engines that a request needs, each found to be usable, and how its registry is spoken to."""

    builder: Builder | None
    puller: Builder | None
    note: str
    plainly: bool

    @classmethod
    def find(cls, request: Request) -> Means:
        """Raises `ImageError` where an engine or a registry cannot be used: before anything is done."""
        builder, note = find_builder(request.engine) if request.build or request.pushes else (None, "")
        puller = find_builder(request.puller)[0] if request.pulls else None
        local = LOCAL_REGISTRY if request.push_local or request.pull_local else request.registry
        return cls(builder, puller, note, _speaks_plainly(local) if local and not request.dry_run else False)


def _speaks_plainly(registry: str) -> bool:
    from interactem.engine.images.registry import is_local, speaks_plainly

    return is_local(registry) and speaks_plainly(registry)


def bake(request: Request, *, as_json: bool) -> int:
    """Do it, and tell what became of it. Returns the exit code."""
    request.check()
    root = find_root(Path.cwd())
    project = Project.open(root, offline=request.offline, ca_bundle=request.ca_bundle)
    for name in request.names:
        if name not in project.names:
            raise InvalidError(f"there is no operator {name!r}: {suggest(name, project.names, 'operators')}")
    selection = project.select(request.names, bases=request.bases)
    if not selection.plan.targets and not selection.prebuilt:
        raise InvalidError(f"there are no operators below {root / 'operators'}; make one: interactem operator new")
    means = Means.find(request)
    if request.dry_run:
        return Forecast(request, selection, means).tell(as_json=as_json)
    return Performance(request, project, selection, means, BakeScreen(quiet=as_json)).run(as_json=as_json)


class Performance:
    """What is done, in its order."""

    def __init__(
        self, request: Request, project: Project, selection: Selection, means: Means, screen: BakeScreen
    ) -> None:
        self.request = request
        self.project = project
        self.selection = selection
        self.means = means
        self.screen = screen
        self.commands = Commands()
        self.outcomes: dict[str, list[Outcome]] = {}

    def run(self, *, as_json: bool) -> int:
        start = time.monotonic()
        with ended_by_signals():
            if self.request.build:
                self._build()
            if self.means.builder is not None and self.request.push_local:
                self._push(self.means.builder, self.selection.plan.targets, mirrored=True)
            if self.means.builder is not None and self.request.push_remote:
                self._push(self.means.builder, self.selection.targets, mirrored=False)
            if self.means.puller is not None:
                self._pull(self.means.puller)
        return self._tell(time.monotonic() - start, as_json=as_json)

    def _build(self) -> None:
        builder = self.means.builder
        if builder is None:
            return
        self.screen.begin(f"building with {builder.name}", self.means.note)
        for operator in self.selection.prebuilt:
            self.screen.note(f"{operator.name}: nothing to build; it runs from {operator.spec.image}")
        bakery = Bakery(self.selection.plan, builder, self.selection.asked, self.screen.observe, self.commands)
        with self.screen.showing():
            self.outcomes["built"] = bakery.bake()
        self.screen.end(self.outcomes["built"])
        if old := [outcome.name for outcome in self.outcomes["built"] if outcome.reason == OLD]:
            self.screen.warn(f"older than what is here: {', '.join(old)}; bring them up to date: ./bake --build-base")
        if refresh(self.project.root, self.project.all_targets()):
            self.screen.note(f"{FILE} is brought in step with the folders")

    def _push(self, builder: Builder, targets: Iterable[Target], *, mirrored: bool) -> None:
        moved = [self._move(target, mirrored=mirrored) for target in targets if self._made(target)]
        transfer = self._begin("pushing to", builder, mirrored=mirrored)
        with self.screen.showing():
            done = transfer.push(moved)
        self._end("pushed", done)

    def _pull(self, puller: Builder) -> None:
        mirrored = self.request.pull_local
        targets = self.selection.plan.targets if mirrored else self.selection.targets
        moved = [self._move(target, mirrored=mirrored) for target in targets if self._made(target)]
        if not mirrored:
            moved += [Moved(o.name, "operator", (o.spec.image,), o.spec.image) for o in self.selection.prebuilt]
        transfer = self._begin("pulling from", puller, mirrored=mirrored)
        with self.screen.showing():
            done = transfer.pull(moved)
        self._end("pulled", done)

    def _begin(self, doing: str, engine: Builder, *, mirrored: bool) -> Transfer:
        registry = LOCAL_REGISTRY if mirrored else self.request.registry or ""
        self.screen.begin(f"{doing} {registry or 'the images own registries'} with {engine.name}")
        return Transfer(engine, registry, self.means.plainly, self.screen.observe, self.commands)

    def _end(self, what: str, done: list[Outcome]) -> None:
        self.outcomes[what] = [*self.outcomes.get(what, []), *done]
        self.screen.end(done)

    def _move(self, target: Target, *, mirrored: bool) -> Moved:
        moved = move(target, self.request.registry, mirrored=mirrored)
        return replace(moved, optional=target.name not in self.selection.chosen)

    def _made(self, target: Target) -> bool:
        """Whether there is something to move: what could not be made is told already."""
        earlier = [outcome for done in self.outcomes.values() for outcome in done if outcome.name == target.name]
        return all(outcome.ok for outcome in earlier)

    def _tell(self, seconds: float, *, as_json: bool) -> int:
        failed = [outcome for done in self.outcomes.values() for outcome in done if not outcome.ok]
        if as_json:
            print_json(
                {
                    "engine": self.means.builder.name if self.means.builder else None,
                    **{what: [outcome.to_value() for outcome in done] for what, done in self.outcomes.items()},
                    "prebuilt": [operator.name for operator in self.selection.prebuilt],
                    "seconds": round(seconds, 3),
                }
            )
        else:
            print_outcomes(self.outcomes, seconds)
        return FAILED if failed else 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would be done."""

    request: Request
    selection: Selection
    means: Means

    def tell(self, *, as_json: bool) -> int:
        steps = [*self._builds(), *self._moves()]
        if as_json:
            print_json(steps)
        else:
            print_table(("what", "name", "image", "why"), [tuple(step.values()) for step in steps])
        return 0

    def _builds(self) -> Iterator[dict[str, str]]:
        if not self.request.build or self.means.builder is None:
            return
        for target, verdict in Bakery(self.selection.plan, self.means.builder, self.selection.asked).foresee():
            yield _step("build" if verdict.build else "leave", target.name, target.image, verdict.reason)
        for operator in self.selection.prebuilt:
            yield _step("leave", operator.name, operator.spec.image, "its folder has nothing to build")

    def _moves(self) -> Iterator[dict[str, str]]:
        every, chosen = self.selection.plan.targets, self.selection.targets
        ways = (
            ("push", self.request.push_local, True, every),
            ("push", self.request.push_remote, False, chosen),
            ("pull", self.request.pull_local, True, every),
            ("pull", self.request.pull_remote, False, chosen),
        )
        for what, wanted, mirrored, targets in ways:
            for target in targets if wanted else ():
                moved = move(target, self.request.registry, mirrored=mirrored)
                yield _step(what, target.name, moved.remote, f"as {target.image}" if what == "pull" else "")


def _step(what: str, name: str, image: str, why: str) -> dict[str, str]:
    return {"what": what, "name": name, "image": image, "why": why}


def move(target: Target, registry: str | None, *, mirrored: bool) -> Moved:
    """A target's image on its way to or from the local registry, or to another.

    Raises `InvalidError` where its name has no registry and none is given.
    """
    name = ImageName.parse(target.image)
    if mirrored:
        remote = name.in_local_registry()
    elif registry is not None:
        remote = name.in_registry(registry)
    elif name.registry in ("", "localhost"):
        raise InvalidError(
            f"{target.name}: its image {target.image} names no registry; say which: --registry HOST/PATH"
        )
    else:
        remote = name
    return Moved(target.name, target.kind, target.images, str(remote))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """`SIGTERM` and `SIGHUP` end what runs as Ctrl-C does: nothing is left running."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in kept.items():
        if handler != signal.SIG_IGN:  # with nohup, a terminal that is closed is no reason to end
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)

"""Which images build on which, in what order, and which of them have to be built. Nothing here asks an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from interactem.engine.images.fingerprints import hash_values
from interactem.engine.images.names import ImageName, key_of
from interactem.engine.images.targets import Target, image_clashes
from interactem.spec import Problem, SpecError


@dataclass(frozen=True, slots=True)
class BakePlan:
    """Targets in an order in which each comes behind those that it builds on.

    `parents` are a target's targets that it builds on, by their names; `outside` the images that it builds on and that
    no target makes.
    """

    targets: tuple[Target, ...]
    parents: Mapping[str, tuple[str, ...]]
    outside: Mapping[str, tuple[str, ...]]

    def target(self, name: str) -> Target:
        return next(target for target in self.targets if target.name == name)

    @property
    def bases(self) -> tuple[Target, ...]:
        return tuple(target for target in self.targets if target.kind == "base")


def needed(wanted: Iterable[Target], others: Iterable[Target]) -> list[Target]:
    """The targets that are wanted, and of the others those that they build on."""
    waiting = list(wanted)
    makers = _makers([*waiting, *others])
    found: list[Target] = []
    while waiting:
        if (target := waiting.pop()) not in found:
            found.append(target)
            waiting += [maker for image in target.references if (maker := makers.get(key_of(image))) is not None]
    return found


def _makers(targets: Iterable[Target]) -> dict[ImageName | None, Target]:
    """The target that makes an image, by each of the image's names."""
    return {key_of(name): target for target in targets for name in target.images}


def make_plan(targets: Iterable[Target]) -> BakePlan:
    """Raises `SpecError` where two targets make one image, and where targets build on each other in a circle."""
    every = sorted(targets, key=lambda target: (target.kind != "base", target.name))
    if problems := list(image_clashes(every)):
        raise SpecError(problems)
    makers = _makers(every)
    parents: dict[str, tuple[str, ...]] = {}
    outside: dict[str, tuple[str, ...]] = {}
    for target in every:
        made_by = {image: makers.get(key_of(image)) for image in target.references}
        parents[target.name] = tuple(dict.fromkeys(maker.name for maker in made_by.values() if maker is not None))
        outside[target.name] = tuple(image for image, maker in made_by.items() if maker is None)
    return BakePlan(tuple(_in_order(every, parents)), parents, outside)


def _in_order(targets: list[Target], parents: Mapping[str, tuple[str, ...]]) -> list[Target]:
    by_name = {target.name: target for target in targets}
    ordered: dict[str, Target] = {}

    def visit(target: Target, path: tuple[str, ...]) -> None:
        if target.name in path:
            raise SpecError([_circle(target, path[path.index(target.name) :])])
        if target.name not in ordered:
            for parent in parents[target.name]:
                visit(by_name[parent], (*path, target.name))
            ordered[target.name] = target

    for target in targets:
        visit(target, ())
    return list(ordered.values())


def _circle(target: Target, names: tuple[str, ...]) -> Problem:
    way = " -> ".join((*names, target.name))
    hint = "let one of them build on something else"
    if len(names) == 1:
        return Problem(str(target.folder), "", f"its Containerfile builds on {target.name} itself", hint)
    return Problem(str(target.folder), "", f"the Containerfiles build on each other in a circle: {way}", hint)


def inputs_hash(target: Target, built_on: Mapping[str, str]) -> str:
    """What an image's label says it was made from: its contents and the ids of the images that it builds on."""
    return _inputs_hash(target, target.contents, built_on)


def every_inputs_hash(target: Target, built_on: Mapping[str, str]) -> list[str]:
    """The same, for each way in which the image can be made."""
    return [_inputs_hash(target, contents, built_on) for contents in target.every_contents()]


def _inputs_hash(target: Target, contents: str, built_on: Mapping[str, str]) -> str:
    return hash_values("1", contents, {image: built_on.get(image, "") for image in target.references})

"""The images of a run: found or pulled before anything starts, and pinned, so that what runs is what the plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from interactem.engine.containers.engines import Engine, Image
from interactem.engine.containers.errors import EngineRefusal, MissingImageError
from interactem.engine.containers.references import digest_of, registry
from interactem.engine.images import labels
from interactem.engine.plan import PinnedImage
from interactem.runtime.assignment import VERSION

SIDE_BY_SIDE = 2

Progress = Callable[[str, str], None]
"""Is told what is done, with the operator's name and a line of text."""

_SAYS_MISSING = ("not found", "manifest unknown", "name unknown", "denied", "unauthorized", "no such image", "404")


async def pin_images(engine: Engine, names: Mapping[str, str], progress: Progress) -> dict[str, PinnedImage]:
    """The images of operators, given by name; those that the engine does not have are pulled.

    Raises `MissingImageError` with all that are neither there nor can be pulled.
    """
    return await _for_each(names, lambda operator: _pin(engine, operator, names[operator], progress))


async def find_pinned(engine: Engine, pinned: Mapping[str, PinnedImage], progress: Progress) -> dict[str, PinnedImage]:
    """See to it that exactly these images are there. Raises `MissingImageError` with all that cannot be had."""
    return await _for_each(pinned, lambda operator: _find(engine, operator, pinned[operator], progress))


def locked_images(wanted: Iterable[str], locked: Mapping[str, PinnedImage], source: str) -> dict[str, PinnedImage]:
    """What an earlier plan says of these operators. Raises `MissingImageError` for those that it does not know."""
    missing = [name for name in wanted if name not in locked]
    if missing:
        known = ", ".join(sorted(locked)) or "none: that run was not in containers"
        raise MissingImageError(
            [f"{source} does not say which image {name} is run from; it has {known}" for name in missing]
        )
    return {name: locked[name] for name in wanted}


async def _for_each(operators: Iterable[str], do: Callable[[str], PinnedImage]) -> dict[str, PinnedImage]:
    turns = asyncio.Semaphore(SIDE_BY_SIDE)
    problems: list[str] = []

    async def one(operator: str) -> tuple[str, PinnedImage] | None:
        async with turns:
            try:
                return operator, await asyncio.to_thread(do, operator)
            except MissingImageError as error:
                problems.extend(error.problems)
                return None

    done = await asyncio.gather(*map(one, operators))
    if problems:
        raise MissingImageError(problems)
    return dict(each for each in done if each is not None)


def _pin(engine: Engine, operator: str, name: str, progress: Progress) -> PinnedImage:
    image = present(engine, operator, name, progress)
    _check_runtime(engine, operator, name, image)
    return PinnedImage(name, image.id, digest_of(name, image.digests))


def present(engine: Engine, operator: str, name: str, progress: Progress) -> Image:
    """The image of an operator, pulled if need be. Raises `MissingImageError` where it cannot be had."""
    return engine.image(name) or _pulled(engine, operator, name, progress)


def _find(engine: Engine, operator: str, pinned: PinnedImage, progress: Progress) -> PinnedImage:
    image = engine.image(pinned.id)
    if image is None:
        if not pinned.digest:
            problem = f"{operator}: its image {pinned.name} ({pinned.id[:19]}) is not in {engine.name} any more"
            raise MissingImageError([f"{problem}, and was never in a registry; start a new run with: pipeline run"])
        image = _pulled(engine, operator, pinned.digest, progress)
        if image.id != pinned.id:
            raise MissingImageError([f"{operator}: {pinned.digest} is {image.id} in {engine.name}, not {pinned.id}"])
    _check_runtime(engine, operator, pinned.name, image)
    return pinned


def _check_runtime(engine: Engine, operator: str, name: str, image: Image) -> None:
    """Raises `MissingImageError` where the interactem in an image says that it does not know what we would tell it."""
    reads = image.labels.get(labels.ASSIGNMENTS, "")
    if reads.isdecimal() and int(reads) < VERSION:
        told = f"{operator}: the interactem in its image {name} is older than this one, and would not understand it"
        raise MissingImageError(
            [f"{told}; build it again: interactem operator build {operator} --build-base --engine {engine.name}"]
        )


def _pulled(engine: Engine, operator: str, reference: str, progress: Progress) -> Image:
    progress(operator, f"pulling {reference}")
    try:
        engine.pull(reference, lambda text: progress(operator, f"{reference}: {text}"))
    except EngineRefusal as refusal:
        raise MissingImageError([_problem(engine, operator, reference, refusal.reason)]) from None
    image = engine.image(reference)
    if image is None:
        raise MissingImageError([f"{operator}: {engine.name} pulled {reference}, and does not have it"])
    return image


def _problem(engine: Engine, operator: str, reference: str, reason: str) -> str:
    where = registry(reference)
    line = reason.strip().splitlines()[-1] if reason.strip() else "without a word"
    if any(word in reason.lower() for word in _SAYS_MISSING):
        what = f"its registry {where} does not have it, or not for you ({line})"
    else:
        what = f"its registry {where} cannot be reached ({line})"
    advice = f"build it with: interactem operator build {operator} --engine {engine.name}"
    return f"{operator}: its image {reference} is not in {engine.name}, and {what}; {advice}"

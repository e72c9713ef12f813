"""What there is to bake: one target an image, found in the folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from interactem.engine.catalog import SPEC_FILE, CatalogOperator
from interactem.engine.images import containerfiles, labels
from interactem.engine.images.commands import Commands
from interactem.engine.images.containerfiles import ContainerfileError, referenced_images
from interactem.engine.images.fingerprints import hash_contents, hash_values
from interactem.engine.images.ignores import Ignores
from interactem.engine.images.names import NOBODYS, ImageName
from interactem.spec import Problem, SpecError

Kind = Literal["base", "operator"]
Tell = Callable[[str], None]
"""Is told, in words, what is being done."""


@dataclass(frozen=True)
class Target:
    """An image to build.

    `images` are the names that it gets, the one that it is known by first. `references` are the images that its
    Containerfile names. `lay_out` makes the build context in the given folder and returns the context and the
    Containerfile in it; the given commands run what takes long. `contents` is a hash of all that the build sees, but
    for the images it builds on.
    """

    name: str
    kind: Kind
    folder: Path
    images: tuple[str, ...]
    references: tuple[str, ...]
    lay_out: Callable[[Path, Tell, Commands], tuple[Path, Path]] = field(repr=False)
    hash_contents: Callable[[], str] = field(repr=False)
    labels: dict[str, str] = field(default_factory=dict, repr=False)
    also: tuple[Callable[[], str], ...] = field(default=(), repr=False)
    """As `hash_contents`, for the same image made in another way: it is as new."""

    @property
    def image(self) -> str:
        return self.images[0]

    @cached_property
    def contents(self) -> str:
        return self._hashed(self.hash_contents())

    def every_contents(self) -> list[str]:
        """`contents`, and what it would be if the image was made in another way."""
        return [self.contents, *(self._hashed(other()) for other in self.also)]

    def _hashed(self, contents: str) -> str:
        return hash_values(contents, self.labels, self.images)


def has_only_spec(folder: Path) -> bool:
    """Whether the operator runs from an image that somebody else has built."""
    return containerfile(folder) is None and not (folder / "run.py").is_file()


def containerfile(folder: Path) -> Path | None:
    return next((folder / name for name in containerfiles.NAMES if (folder / name).is_file()), None)


def operator_target(operator: CatalogOperator) -> Target:
    """Raises `SpecError` where the operator has no Containerfile that could be built, or its image no name."""
    file = _existing(operator)
    name = _image_name(operator)
    text = file.read_text(encoding="utf-8", errors="replace")
    if operator.spec.command is not None and not _copies_spec(text):
        hint = "add: COPY ./operator.json /app/operator.json"
        raise SpecError([Problem(str(file), "", "it does not copy operator.json, where the command stands", hint)])
    try:
        references = referenced_images(text)
    except ContainerfileError as error:
        where = f"line {error.line}" if error.line else ""
        raise SpecError([Problem(str(file), where, error.message, error.hint)]) from None
    bare = (ImageName("", name.path, name.tag),) if name.registry == NOBODYS else ()
    return Target(
        name=operator.name,
        kind="operator",
        folder=operator.folder,
        images=(operator.spec.image, *map(str, bare)),
        references=references,
        lay_out=lambda scratch, tell, commands: lay_out_operator(operator.folder, file, scratch),
        hash_contents=lambda: hash_values(
            hash_contents(operator.folder, Ignores.read(operator.folder)), file.name, file.read_bytes()
        ),
        labels={labels.SPEC: labels.encode_spec(operator.spec)},
    )


def _existing(operator: CatalogOperator) -> Path:
    file = containerfile(operator.folder)
    if file is None:
        hint = "make one: FROM ghcr.io/nersc/interactem/operator, then COPY ./run.py /app/run.py"
        raise SpecError([Problem(str(operator.folder), "", "it has a run.py and no Containerfile", hint)])
    return file


def _copies_spec(text: str) -> bool:
    """Whether a Containerfile puts the spec into the image, by its name or with all of the folder."""
    copies = [each.rest.split()[:-1] for each in containerfiles.instructions(text) if each.word in ("COPY", "ADD")]
    sources = [word for words in copies for word in words]
    return any(SPEC_FILE in word or word in (".", "./", "*", "./*", "*.json") for word in sources)


def _image_name(operator: CatalogOperator) -> ImageName:
    source = str(operator.folder / SPEC_FILE)
    try:
        name = ImageName.parse(operator.spec.image)
    except ValueError as error:
        raise SpecError([Problem(source, "$.image", str(error))]) from None
    if name.digest:
        hint = "name the image by a tag, or leave it to others to build it: without run.py and Containerfile"
        raise SpecError([Problem(source, "$.image", "an image that is built here has no digest beforehand", hint)])
    return name


def lay_out_operator(folder: Path, file: Path, scratch: Path) -> tuple[Path, Path]:
    """The folder is its own build context; the Containerfile is copied, to have our ignore file beside it."""
    copied = scratch / "Containerfile"
    copied.write_bytes(file.read_bytes())
    (scratch / "Containerfile.dockerignore").write_text(Ignores.read(folder).text, encoding="utf-8")
    return folder, copied


def image_clashes(targets: Iterable[Target]) -> Iterator[Problem]:
    """Targets that would overwrite each other's image, or that one name would mean both of."""
    owners: dict[ImageName, Target] = {}
    names: dict[str, Target] = {}
    for target in targets:
        if names.setdefault(target.name, target) is not target:
            message = f"the name {target.name!r} is also that of {names[target.name].folder}"
            yield Problem(str(target.folder), "", message, "rename one of the folders")
        for image in target.images:
            owner = owners.setdefault(ImageName.parse(image).key, target)
            if owner is not target and image == target.image:
                message = f"the image {image} is also that of {owner.folder}"
                yield Problem(str(target.folder / SPEC_FILE), "$.image", message, "give one of them another name")

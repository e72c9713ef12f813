"""Base images as targets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from interactem.engine.images import labels
from interactem.engine.images.base_sources import CONTAINERFILE, FOLDER, OFFLINE, OPERATOR, BaseSource, find_bases
from interactem.engine.images.commands import Commands
from interactem.engine.images.containerfiles import referenced_images
from interactem.engine.images.fingerprints import hash_values
from interactem.engine.images.targets import Target, Tell
from interactem.runtime.assignment import VERSION


def base_targets(root: Path, *, offline: bool = False, ca_bundle: Path | None = None) -> list[Target]:
    """The base images in the project's `base-images/`; none where it has no such folder."""
    folder = root / FOLDER
    return [_target(base, offline, ca_bundle) for base in find_bases(folder)] if folder.is_dir() else []


def _target(base: BaseSource, offline: bool, ca_bundle: Path | None) -> Target:
    file = base.folder / OFFLINE
    if not (offline and file.is_file()):
        file = base.folder / CONTAINERFILE

    # what makes base images is imported when one is made: most bakes make none

    def lay_out_base(scratch: Path, tell: Tell, commands: Commands) -> tuple[Path, Path]:
        from interactem.engine.images.bases import Site, lay_out

        context = scratch / "context"
        context.mkdir()
        lay_out(base, context, Site(offline, ca_bundle, tell, commands))
        return context, context / CONTAINERFILE

    def hash_base(offline: bool = offline) -> str:
        from interactem.engine.images.bases import Site, inputs

        return hash_values(inputs(base, Site(offline, ca_bundle)))

    return Target(
        name=base.name,
        kind="base",
        folder=base.folder,
        images=base.images,
        references=referenced_images(file.read_text(encoding="utf-8")),
        lay_out=lay_out_base,
        hash_contents=hash_base,
        labels={labels.ASSIGNMENTS: str(VERSION)} if base.name == OPERATOR else {},
        also=(partial(hash_base, not offline),),
    )

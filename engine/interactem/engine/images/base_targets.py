"""Base images as targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from interactem.engine.images.bases import CONTAINERFILE, FOLDER, OFFLINE, BaseSource, Site, find_bases, inputs, lay_out
from interactem.engine.images.commands import Commands
from interactem.engine.images.containerfiles import referenced_images
from interactem.engine.images.fingerprints import hash_values
from interactem.engine.images.targets import Target, Tell


def base_targets(root: Path, *, offline: bool = False, ca_bundle: Path | None = None) -> list[Target]:
    """The base images in the project's `base-images/`; none where it has no such folder."""
    folder = root / FOLDER
    site = Site(offline=offline, authorities=ca_bundle)
    return [_target(base, site) for base in find_bases(folder)] if folder.is_dir() else []


def _target(base: BaseSource, site: Site) -> Target:
    file = base.folder / OFFLINE
    if not (site.offline and file.is_file()):
        file = base.folder / CONTAINERFILE

    def lay_out_base(scratch: Path, tell: Tell, commands: Commands) -> tuple[Path, Path]:
        context = scratch / "context"
        context.mkdir()
        lay_out(base, context, replace(site, progress=tell, commands=commands))
        return context, context / CONTAINERFILE

    return Target(
        name=base.name,
        kind="base",
        folder=base.folder,
        images=base.images,
        references=referenced_images(file.read_text(encoding="utf-8")),
        lay_out=lay_out_base,
        hash_contents=lambda: hash_values(inputs(base, site)),
    )

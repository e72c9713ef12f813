"""`docker-bake.hcl`, made from the folders: what `docker buildx bake` needs to build the same images."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from interactem.engine.images.targets import Target, containerfile

FILE = "docker-bake.hcl"

_HEAD = """\
# Made from the folders below operators/ by ./bake, which writes it anew: nothing is to be changed here.
# `docker buildx bake NAME` builds an operator where the images that it builds on are there; ./bake builds those too.
"""


def render(root: Path, targets: Iterable[Target]) -> str:
    """The file's text, for the operators in the project `root`."""
    every = [target for target in targets if target.kind == "operator"]
    names = ", ".join(_text(_identifier(target.name)) for target in every)
    blocks = [
        _HEAD,
        'group "default" {\n  targets = ["operators"]\n}\n',
        f'group "operators" {{\n  targets = [{names}]\n}}\n',
    ]
    return "\n".join([*blocks, *(_block(root, target) for target in every)])


def refresh(root: Path, targets: Iterable[Target]) -> bool:
    """Bring the project's file in step, where there is one. Returns whether something has changed."""
    file = root / FILE
    if not file.is_file():
        return False
    text = render(root, targets)
    if file.read_text(encoding="utf-8") == text:
        return False
    file.write_text(text, encoding="utf-8")
    return True


def _block(root: Path, target: Target) -> str:
    file = containerfile(target.folder)
    folder = Path(os.path.relpath(target.folder, root)).as_posix()
    tags = ", ".join(_text(image) for image in target.images)
    labels = "".join(f"    {_text(name)} = {_text(value)}\n" for name, value in target.labels.items())
    return (
        f"target {_text(_identifier(target.name))} {{\n"
        f"  context = {_text(folder)}\n"
        f"  dockerfile = {_text(file.name if file else 'Containerfile')}\n"
        f"  tags = [{tags}]\n"
        f"  labels = {{\n{labels}  }}\n"
        "}\n"
    )


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)


def _text(value: str) -> str:
    """A string as HCL writes it: as JSON does, and with what begins a template doubled."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")

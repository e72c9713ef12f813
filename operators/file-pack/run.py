"""Packs files that messages name, and says what became of each: reading, packing and writing go on side by side."""

import hashlib
import json
import lzma
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from interactem.runtime import BytesMessage, Context, data_directory, operator


class Packed(NamedTuple):
    name: str
    sha256: str
    size: int
    content: Path


def copy(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> tuple[str, Path]:
    """The file's name below the folder, and a copy of it that nobody changes meanwhile."""
    folder = (data_directory() / "folder").resolve()
    name = bytes(inputs.data).decode("utf-8", "replace").strip()
    path = (folder / name).resolve()
    if not name or not path.is_relative_to(folder) or not path.is_file():
        raise ValueError(f"{name[:200]!r} is no file in the folder")
    copied = context.folder / "file"
    shutil.copyfile(path, copied)
    return str(path.relative_to(folder)), copied


def put(packed: Packed, parameters: dict[str, Any], context: Context) -> BytesMessage:
    """Into outputs/, whole or not at all."""
    target = context.outputs / f"{packed.name}.xz"
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{context.replica}-{context.attempt}")
    shutil.copyfile(packed.content, unfinished)
    os.replace(unfinished, target)
    record = {"file": packed.name, "sha256": packed.sha256, "bytes": packed.size, "packed": target.stat().st_size}
    return BytesMessage(data=json.dumps(record).encode())


@operator.staged(prepare=copy, output=put, prepare_concurrency=4, max_concurrency=2, output_concurrency=4)
def pack(copied: tuple[str, Path], parameters: dict[str, Any]) -> Packed:
    name, path = copied
    digest, size = hashlib.sha256(), 0
    content = path.with_suffix(".xz")
    with path.open("rb") as source, lzma.open(content, "wb", preset=parameters["level"]) as target:
        while block := source.read(2**20):
            digest.update(block)
            size += len(block)
            target.write(block)
    return Packed(name, digest.hexdigest(), size, content)

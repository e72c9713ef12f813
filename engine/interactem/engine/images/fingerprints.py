"""Hashes of what an image is made from."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from interactem.engine.images.ignores import Ignores, contents


def hash_values(*values: object) -> str:
    """A hash of texts, numbers and mappings of them, each told from the next."""
    digest = hashlib.blake2b(digest_size=16)
    for value in values:
        text = repr(sorted(value.items())) if isinstance(value, Mapping) else repr(value)
        digest.update(f"{len(text)}:{text}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def hash_contents(folder: Path, ignores: Ignores) -> str:
    """A hash of the names, contents and executable bits of what a build of the folder sees."""
    digest = hashlib.blake2b(digest_size=16)
    for name, path in contents(folder, ignores):
        digest.update(f"{name}\0{_hash_entry(path)}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _hash_entry(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"link to {os.readlink(path)}"
    if not stat.S_ISREG(status.st_mode):
        return "special"  # a socket or a pipe: engines leave it out
    with path.open("rb") as file:
        content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return f"{content} {stat.S_IMODE(status.st_mode) & 0o111:o}"

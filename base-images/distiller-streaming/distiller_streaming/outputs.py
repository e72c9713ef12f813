"""Files that a sink writes: whole or not at all, and never an older revision over a newer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from distiller_streaming.errors import SettingError


def output_path(folder: Path, name: str, suffixes: tuple[str, ...]) -> Path:
    """Where `name` lies below `folder`.

    Raises `SettingError` where it would lie outside, or does not end in one of `suffixes`.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
        raise SettingError(f"file is a name inside the run's outputs/, such as result{suffixes[0]}, not {name!r}")
    if path.suffix.lower() not in suffixes:
        raise SettingError(f"file ends in {' or '.join(suffixes)}, not {path.suffix or 'nothing'!r} (in {name!r})")
    return folder / path


def replace_file(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Make `path` hold `data`, durably: at every moment it holds the old data or the new, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def is_newer(state: dict[str, Any], name: str, meta: dict[str, Any]) -> bool:
    """Whether a message with this meta comes after what `name` holds, by its `revision`; without one it does.

    Note what was written with `note_revision`.
    """
    revision = meta.get("revision")
    written = state.get("revisions", {}).get(name)
    return revision is None or written is None or int(revision) > int(written)


def note_revision(state: dict[str, Any], name: str, meta: dict[str, Any]) -> None:
    """Remember which revision `name` holds."""
    revision = meta.get("revision")
    if revision is not None:
        state["revisions"] = {**state.get("revisions", {}), name: int(revision)}

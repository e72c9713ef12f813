"""From what a command leaves behind to messages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from interactem.runtime.errors import CommandError, MessageTooLargeError
from interactem.runtime.messages import BytesMessage, MessageHeader, Meta

OUTPUT_BYTES = 2**30
"""The most that one message may hold, and so the most that is taken of standard output."""
_ABOUT_THE_DATA = ("dtype", "shape")


class Collected:
    """Standard output, as the data of a message."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > OUTPUT_BYTES:
            self._parts.clear()
            raise MessageTooLargeError(self._size, OUTPUT_BYTES, "standard output")
        self._parts.append(data)

    @property
    def data(self) -> bytes:
        return b"".join(self._parts)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command has left behind, for `postrun`."""

    code: int
    """Its exit code."""
    data: bytes
    """What it has printed to standard output, where the results come from there."""
    files: tuple[Path, ...]
    """The files that match the pattern of the output files, by name."""
    folder: Path
    """The working folder."""
    lines: tuple[str, ...]
    """The last lines that it has printed to standard error."""


def meta_of(message: BytesMessage | None) -> Meta:
    """What a result's meta is: the message's, without what was said of its data."""
    meta: Meta = {} if message is None else message.header.meta
    return {key: meta[key] for key in meta if key not in _ABOUT_THE_DATA} if isinstance(meta, dict) else meta


def files_in(folder: Path, pattern: str, given: Path | None) -> tuple[Path, ...]:
    """The files that match, by name; what is no file, and the file that was given to the command, are none."""
    found = (path for path in folder.glob(pattern) if path.is_file() and not path.is_symlink())
    return tuple(sorted(path for path in found if path != given))


def file_messages(result: CommandResult, meta: Meta) -> Iterator[BytesMessage]:
    """A message for each file, with its name in the meta."""
    for path in result.files:
        named = {**meta, "file": path.relative_to(result.folder).as_posix()} if isinstance(meta, dict) else meta
        yield BytesMessage(MessageHeader(meta=named), _read(path))


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > OUTPUT_BYTES:
        raise MessageTooLargeError(size, OUTPUT_BYTES, f"the file {path.name}")
    return path.read_bytes()


def keep_files(files: Sequence[Path], folder: Path, outputs: Path) -> None:
    """Put files into the run's outputs, each whole or not at all. Raises `CommandError`, as on a full disk."""
    for path in files:
        target = outputs / path.relative_to(folder)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, beside)
            os.replace(beside, target)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise CommandError(f"{target} cannot be written: {error.strerror}") from error

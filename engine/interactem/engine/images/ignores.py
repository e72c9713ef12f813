"""What of a folder goes into its image's build: all but what its ignore file names, and what tools leave behind.

The rules are those of `.dockerignore`: one pattern a line, relative to the folder; `*`, `?` and `[...]` stay within a
part of a path, `**` is any number of parts; `!` takes back; the last pattern that matches a path, or a folder above
it, counts.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FILES = (".containerignore", ".dockerignore")
"""The ignore file's name; the first that is there counts, as in podman, with every engine."""
LEFTOVERS = (
    "**/__pycache__",
    "**/*.pyc",
    "**/.git",
    "**/.venv",
    "**/.mypy_cache",
    "**/.ruff_cache",
    "**/.pytest_cache",
    "**/node_modules",
)
"""What running, testing and editing leaves in a folder: a build never needs it, and would run again for it."""


_NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Ignores:
    """Patterns, those of an ignore file behind our own, so that it can take them back."""

    lines: tuple[str, ...]
    _patterns: tuple[tuple[bool, re.Pattern[str]], ...]

    @classmethod
    def of(cls, lines: Iterable[str]) -> Ignores:
        kept = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
        return cls(kept, tuple((not line.startswith("!"), _compile(line.removeprefix("!"))) for line in kept))

    @classmethod
    def read(cls, folder: Path) -> Ignores:
        file = next((folder / name for name in FILES if (folder / name).is_file()), None)
        own = file.read_text(encoding="utf-8-sig", errors="replace").splitlines() if file else []
        return cls.of([*LEFTOVERS, *own])

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def ignore(self, path: str) -> bool:
        """Whether a file or folder, relative to the top and with `/`, stays out."""
        verdict = False
        for ignored, pattern in self._patterns:
            if ignored != verdict and pattern.match(path):
                verdict = ignored
        return verdict

    @property
    def takes_back(self) -> bool:
        """Whether something in an ignored folder may be in all the same."""
        return not all(ignored for ignored, _ in self._patterns)


def contents(folder: Path, ignores: Ignores) -> Iterator[tuple[str, Path]]:
    """The files and links that are not ignored, by their paths relative to the folder, in the order of these."""
    found: list[tuple[str, Path]] = []
    for root, folders, files in os.walk(folder):
        above = Path(root).relative_to(folder).as_posix()
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        folders[:] = [
            name
            for name in folders
            if name not in links and (ignores.takes_back or not ignores.ignore(posixpath.normpath(f"{above}/{name}")))
        ]
        for name in (*files, *links):
            relative = posixpath.normpath(f"{above}/{name}")
            if not ignores.ignore(relative):
                found.append((relative, Path(root, name)))
    yield from sorted(found)


def _compile(pattern: str) -> re.Pattern[str]:
    """What matches the paths that a pattern names, and all below them."""
    clean = posixpath.normpath(re.sub(r"(\*\*/)+", "**/", pattern.strip().lstrip("/")) or ".")
    made, index = "", 0
    while index < len(clean):
        if clean.startswith("**/", index):
            made, index = made + r"(?:.*/)?", index + 3
        elif clean.startswith("**", index):
            made, index = made + r".*", index + 2
        elif clean[index] == "[" and (end := clean.find("]", index + 2)) > 0:
            inside = clean[index + 1 : end].replace("\\", "\\\\")
            made, index = f"{made}[{inside}]", end + 1
        else:
            c = clean[index]
            made, index = made + {"*": r"[^/]*", "?": r"[^/]"}.get(c, re.escape(c)), index + 1
    try:
        return re.compile(f"(?:{made})(?:/.*)?$" if clean != "." else r"(?!)")
    except re.error:  # such as a range that runs backwards: it matches nothing, as in other tools
        return _NOTHING

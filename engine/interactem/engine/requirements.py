"""What an operator's `requirements.txt` names: packages, other such files, and folders of the repository."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from interactem.engine.errors import DependencyError

_FILES = ("-r", "--requirement", "-c", "--constraint")
_PROJECTS = ("pyproject.toml", "setup.py", "setup.cfg")
_EDITABLE = ("-e", "--editable")
_ARCHIVES = (".whl", ".tar.gz", ".zip")
# what running, testing or building leaves in a folder and does not come from its author
_LEFTOVERS = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules"})


@dataclass(slots=True)
class Requirements:
    """All that stands in a requirements file and in those that it names.

    `lines` say it in a form that is the same for the same contents, wherever the operator lies: in place of a folder
    or an archive stands a hash of what is in it. `folders` are the folders that are named.
    """

    operator: str
    file: Path | None
    lines: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    @property
    def packages(self) -> list[str]:
        """The names of the packages in the folders, as far as they tell."""
        return [name for name in map(_project_name, self.folders) if name]


def read_requirements(operator_folder: Path) -> Requirements:
    """What the operator needs; nothing where it has no `requirements.txt`.

    Raises `DependencyError` where a file or a folder that is named does not exist.
    """
    folder = operator_folder.resolve()
    file = folder / "requirements.txt"
    requirements = Requirements(folder.name, file if file.is_file() else None)
    if requirements.file is not None:
        _read(file, folder, requirements, set())
    return requirements


def _read(file: Path, base: Path, into: Requirements, seen: set[Path]) -> None:
    if file in seen:
        return
    seen.add(file)
    for number, line in _lines(file):
        where = f"{file}, line {number}"
        option, _, value = re.sub(r"^(--[a-z-]+)=", r"\1 ", line).partition(" ")
        if option in _FILES and "://" not in value:
            # a file that a file names is sought beside it; a folder that it names, from the operator's folder
            named = _existing(file.parent / value.strip(), value, where, into.operator)
            if not named.is_file():
                raise DependencyError(
                    into.operator, f"{where}: {value.strip()} is no file", "name one with requirements"
                )
            into.lines.append(option.replace("--requirement", "-r").replace("--constraint", "-c"))
            _read(named, base, into, seen)
        elif option in _EDITABLE:
            named = _existing(base / _path(value), value, where, into.operator)
            into.lines.append(f"-e {named} {_add(named, where, into)}")
        elif (path := _local(line, base)) is not None:
            named = _existing(base / path, path, where, into.operator)
            into.lines.append(line.replace(path, _add(named, where, into)))
        else:
            into.lines.append(line)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines that say something, without comments, with continued ones joined; each with its number."""
    joined = ""
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.sub(r"(^|\s)#.*$", "", line)
        if bare.endswith("\\"):
            joined += bare[:-1]
            continue
        if complete := (joined + bare).strip():
            yield number, complete
        joined = ""
    if joined.strip():
        yield number, joined.strip()


def _local(line: str, base: Path) -> str | None:
    """The path in a line that names a folder or an archive of this machine, as it is written there."""
    target = re.split(r"\s;|\s--", line.partition(" @ ")[2] or line)[0].strip()
    bare = re.sub(r"\[[^\]]*\]$", "", target)
    if bare.startswith("file:"):
        return _path(bare)
    if "://" in bare or line.startswith("-"):
        return None
    if bare.startswith((".", "/")) or (("/" in bare or bare.endswith(_ARCHIVES)) and _exists(base / bare)):
        return bare
    return None


def _path(text: str) -> str:
    text = re.sub(r"\[[^\]]*\]$", "", text.strip())
    return unquote(urlsplit(text).path) if text.startswith("file:") else text


def _existing(path: Path, written: str, where: str, operator: str) -> Path:
    if not _exists(path):
        advice = "paths of folders are relative to the operator's folder, those of files to the file that names them"
        raise DependencyError(operator, f"{where}: there is no {written.strip()}", advice)
    return path.resolve()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long to be one
        return False


def _add(named: Path, where: str, into: Requirements) -> str:
    if named.is_file():
        return f"file:{named.name}:{hashlib.blake2b(named.read_bytes(), digest_size=16).hexdigest()}"
    if not any((named / name).is_file() for name in _PROJECTS):  # any other folder could be the whole disk
        advice = f"name a folder with one of {', '.join(_PROJECTS)}, or an archive"
        raise DependencyError(into.operator, f"{where}: {named} is no Python project", advice)
    into.folders.append(named)
    return f"folder:{hash_folder(named)}"


def hash_folder(folder: Path) -> str:
    """A hash of the names and contents of what is in a folder. What tools leave there does not count."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(_contents(folder)):
        digest.update(f"{path.relative_to(folder)}\0".encode(errors="surrogateescape"))
        if path.is_symlink():
            digest.update(os.readlink(path).encode(errors="surrogateescape"))
        else:
            digest.update(hashlib.blake2b(path.read_bytes()).digest())
    return digest.hexdigest()


def _contents(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        built = {"build", "dist"} if Path(root) == folder else set()
        folders[:] = [name for name in folders if name not in _LEFTOVERS | built and not name.endswith(".egg-info")]
        for name in files:
            path = Path(root, name)
            if not name.endswith(".pyc") and (path.is_symlink() or path.is_file()):
                yield path


def _project_name(folder: Path) -> str | None:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return None
    name = project.get("name") if isinstance(project, dict) else None
    return name if isinstance(name, str) else None

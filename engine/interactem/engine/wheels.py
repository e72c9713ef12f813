"""Our own package as a wheel, made from what is installed: what operators' environments get.

An editable installation gives a wheel that points to the same checkout. The wheel asks for the dependencies of the
runtime alone, with the ranges of our own metadata: an operator needs neither the command line nor the broker.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from interactem.engine.errors import EngineError

NAME = "interactem"
RUNTIME = frozenset({"jinja2", "msgpack", "nats-py", "numpy", "pydantic"})

_INFO = frozenset({"METADATA", "WHEEL", "licenses"})
"""What the wheel takes of the installed metadata: the rest tells how and when it was installed, or is a command."""


_BRIEF_FIELDS = ("Metadata-Version", "Name", "Version", "Requires-Python", "License-Expression", "Requires-Dist")
_NOT_IN_REPLICAS = frozenset({"cli", "console", "engine", "__pycache__"})


@dataclass(frozen=True, slots=True)
class OwnPackage:
    """The files of our package as the wheel has them, by their names in it, and its file name."""

    file_name: str
    files: dict[str, bytes]

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()

    def wheel(self) -> bytes:
        """The wheel: the same bytes for the same files."""
        info = next(name for name in self.files if name.endswith("/METADATA")).rpartition("/")[0]
        record = [f"{name},sha256={_sha256(content)},{len(content)}" for name, content in sorted(self.files.items())]
        record.append(f"{info}/RECORD,,")
        buffer = BytesIO()
        with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
            for name, content in sorted(self.files.items()):
                archive.writestr(_entry(name), content)
            archive.writestr(_entry(f"{info}/RECORD"), "\n".join(record) + "\n")
        return buffer.getvalue()


def own_package() -> OwnPackage:
    """Our package as it is installed. Raises `EngineError` where it is not."""
    try:
        installed = distribution(NAME)
    except PackageNotFoundError:
        raise EngineError(f"{NAME} runs without being installed; install it with: pip install -e .") from None
    return from_distribution(installed)


def replica_package() -> OwnPackage:
    """What a replica needs of our package, its code and all, wherever it is installed from: what images get.

    The command and what runs pipelines stay out, so that a change to them makes no image old.
    """
    import interactem  # a namespace, whose parts may lie in several folders

    installed = own_package()
    files = {name: _brief(name, content) for name, content in installed.files.items() if ".dist-info/" in name}
    for folder in map(Path, interactem.__path__):
        for path in folder.rglob("*"):
            name = path.relative_to(folder)
            if path.is_file() and path.suffix != ".pyc" and name.parts[0] not in _NOT_IN_REPLICAS:
                files[f"{NAME}/{name.as_posix()}"] = path.read_bytes()
    return OwnPackage(installed.file_name, files)


def _brief(name: str, content: bytes) -> bytes:
    """Metadata without what it says to people, such as the README, and without extras."""
    if not name.endswith("/METADATA"):
        return content
    told: Message = Parser().parsestr(content.decode())
    brief = Message()
    for field in _BRIEF_FIELDS:
        for value in told.get_all(field) or []:
            if not (field == "Requires-Dist" and _of_an_extra(value)):
                brief[field] = value
    return brief.as_bytes()


def from_distribution(installed: Distribution) -> OwnPackage:
    files: dict[str, bytes] = {}
    for file in installed.files or ():
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts or path.suffix == ".pyc":
            continue
        if path.parts[0].endswith(".dist-info") and path.parts[1] not in _INFO:
            continue
        content = Path(str(file.locate())).read_bytes()
        files[str(path)] = runtime_metadata(content) if path.name == "METADATA" else content
    return OwnPackage(f"{NAME}-{installed.version}-py3-none-any.whl", files)


def runtime_metadata(metadata: bytes) -> bytes:
    """The metadata, with the dependencies of the runtime alone; those of extras stay."""
    message: Message = Parser().parsestr(metadata.decode())
    required: list[str] = message.get_all("Requires-Dist") or []
    del message["Requires-Dist"]
    for text in required:
        if _of_an_extra(text) or _of_the_runtime(text):
            message["Requires-Dist"] = text
    return message.as_string().encode()


def runtime_requirements() -> list[str]:
    """What the runtime needs, in the ranges of our own metadata. The lock is made from it."""
    required = distribution(NAME).requires or []
    return [text for text in required if _of_the_runtime(text) and not _of_an_extra(text)]


def _of_an_extra(text: str) -> bool:
    return "extra" in str(Requirement(text).marker or "")


def _of_the_runtime(text: str) -> bool:
    return canonicalize_name(Requirement(text).name) in RUNTIME


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    entry.compress_type = ZIP_DEFLATED
    return entry


def _sha256(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()

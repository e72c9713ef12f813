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
RUNTIME = frozenset({"msgpack", "nats-py", "numpy", "pydantic"})

_INFO = frozenset({"METADATA", "WHEEL", "licenses"})
"""What the wheel takes of the installed metadata: the rest tells how and when it was installed, or is a command."""


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
        requirement = Requirement(text)
        extra = requirement.marker is not None and "extra" in str(requirement.marker)
        if extra or canonicalize_name(requirement.name) in RUNTIME:
            message["Requires-Dist"] = text
    return message.as_string().encode()


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    entry.compress_type = ZIP_DEFLATED
    return entry


def _sha256(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()

"""The lines of JSON between us and a persistent command: one in, one out."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interactem.runtime.commands.results import OUTPUT_BYTES
from interactem.runtime.errors import CommandError, MessageTooLargeError
from interactem.runtime.messages import BytesMessage, MessageHeader, Meta
from interactem.spec.commands import inner_path
from interactem.spec.values import MisfitError
from interactem.spec.wording import listing

_FORMS = ("data", "data_base64", "file")
_KEYS = (*_FORMS, "meta", "port", "id", "error")


def question(
    inputs: BytesMessage, parameters: Mapping[str, Any], *, folder: Path, file: Path | None, attempt: int
) -> bytes:
    """The line that a message is given in. Its data is text where it is UTF-8, else base64, or it is in a file."""
    asked: dict[str, Any] = {"id": inputs.id, "port": inputs.port, "attempt": attempt, "folder": str(folder)}
    asked |= {"meta": inputs.header.meta, "parameters": dict(parameters)}
    if file is not None:
        asked["file"] = str(file)
    else:
        data = bytes(inputs.data)
        try:
            asked["data"] = data.decode()
        except UnicodeDecodeError:
            asked["data_base64"] = base64.b64encode(data).decode()
    return json.dumps(asked, default=_plain).encode() + b"\n"


def answered(line: str, inputs: BytesMessage, meta: Meta, folder: Path) -> list[BytesMessage]:
    """The messages in a line that answers. Raises `CommandError` where it is none, or says that it has failed."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(line, f"is not JSON ({error})") from None
    parts = [] if answer is None else answer if isinstance(answer, list) else [answer]
    return [_message(part, line, inputs, meta, folder) for part in parts]


def _message(part: Any, line: str, inputs: BytesMessage, meta: Meta, folder: Path) -> BytesMessage:
    if not isinstance(part, dict):
        raise _wrong(line, "is no object, list of objects, or null")
    if unknown := [key for key in part if key not in _KEYS]:
        raise _wrong(line, f"has the unknown key {unknown[0]!r}; known keys: {listing(_KEYS)}")
    if part.get("id") not in (None, inputs.id):
        raise _wrong(line, f"answers {part['id']!r} and not {inputs.id!r}: it must be one line for each")
    if part.get("error") is not None:
        raise CommandError(f"the command says that it has failed: {part['error']}")
    made = part.get("meta")
    if made is not None and not isinstance(made, dict):
        raise _wrong(line, "has a meta that is no object")
    port = part.get("port")
    if port is not None and not isinstance(port, str):
        raise _wrong(line, "has a port that is no text")
    return BytesMessage(MessageHeader(meta=meta if made is None else made), _data(part, line, folder), target=port)


def _data(part: Mapping[str, Any], line: str, folder: Path) -> bytes:
    forms = [form for form in _FORMS if part.get(form) is not None]
    if len(forms) > 1:
        raise _wrong(line, f"has its data in several forms: {', '.join(forms)}")
    if not forms:
        return b""
    given = part[forms[0]]
    if not isinstance(given, str):
        raise _wrong(line, f"has {forms[0]} that is no text")
    if forms[0] == "data":
        return given.encode("utf-8", "surrogatepass")
    if forms[0] == "file":
        return _read(given, line, folder)
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(line, f"has data_base64 that is not base64 ({error})") from None


def _read(name: str, line: str, folder: Path) -> bytes:
    try:
        path = Path(name)
        relative = path.relative_to(folder).as_posix() if path.is_absolute() else name
        path = folder / inner_path(relative, "file")
        if (size := path.stat().st_size) > OUTPUT_BYTES:
            raise MessageTooLargeError(size, OUTPUT_BYTES, f"the file {name}")
        return path.read_bytes()
    except (MisfitError, ValueError) as error:
        if isinstance(error, MessageTooLargeError):
            raise
        raise _wrong(line, f"names a file {name!r} that is not in the message's folder") from None
    except OSError as error:
        raise _wrong(line, f"names the file {name!r}, which cannot be read: {error.strerror}") from None


def _wrong(line: str, what: str) -> CommandError:
    shown = line if len(line) <= 200 else f"{line[:200]}…"
    return CommandError(f"the command's answer {what}: {shown}")


def _plain(value: object) -> object:
    """JSON has no bytes; a meta may hold some, or be some."""
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"a meta holds a {type(value).__name__}, which JSON does not know")
